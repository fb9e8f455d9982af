"""`make plan` plans enough of everything, says what is full first, and refuses a wrong number."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace

import pytest

from deploy.plan import check, command, figures, sizes
from stack.checkout import CHECKOUT
from stack.errors import StackError


def planned(**environ: str) -> sizes.Plan:
    return sizes.size(sizes.demand(environ), figures.read(environ))


@pytest.mark.parametrize("rps", ["0.5", "500", "9000", "9100", "50000", "400000"])
@pytest.mark.parametrize("own", [{}, {"APP_MS": "4"}, {"APP_WAIT_MS": "80", "CORES": "16"}])
def test_nothing_is_busier_than_planned(rps: str, own: dict[str, str]) -> None:
    made = planned(RPS=rps, **own)
    limits = {limit.part.split()[0]: limit.rps for limit in made.limits}
    for part in ("CPU", "Python"):
        assert float(rps) <= 0.6 * limits[part] * 1.001, part
    assert float(rps) < limits["threads"]
    assert made.redis_busy <= 0.6 * 1.001
    assert [limit.rps for limit in made.limits] == sorted(limit.rps for limit in made.limits)


def test_one_machine_fewer_is_too_few() -> None:
    made = planned(RPS="50000")
    assert made.stacks * (made.machines - 1) * made.rps_of_a_machine < 50_000
    assert (made.stacks - 1) * made.rps_of_a_redis < 50_000
    assert made.all_machines == made.stacks * (made.machines + 2)


def test_formula_and_simulation_agree() -> None:
    for rps in ("300", "5000", "50000"):
        made = planned(RPS=rps)
        assert made.simulated_mean_s == pytest.approx(made.mean_s, rel=0.06), rps
        assert made.p50_s < made.mean_s < made.p99_s


def test_users_and_think_time_are_a_rate() -> None:
    asked = sizes.demand({"USERS": "6000", "THINK": "20"})
    assert (asked.rps, asked.users) == (300, 6000)
    assert sizes.demand({"RPS": "300"}).users == 300 * sizes.THINK_SECONDS
    assert planned(RPS="300", USERS="1000000").redis_mb == pytest.approx(2820, rel=0.01)


def test_waiting_needs_threads_and_no_machines() -> None:
    quick, slow = planned(RPS="1000"), planned(RPS="1000", APP_WAIT_MS="100")
    assert slow.machines == quick.machines
    assert slow.processes * slow.threads > 100 > quick.processes * quick.threads
    assert slow.limits[0].part == "threads of the app"


def test_a_figure_can_be_replaced() -> None:
    assert planned(RPS="20000", REDIS_US="20").stacks == 1
    shown = "\n".join(command.lines(planned(RPS="5", CORES="8"), {
        **figures.read({"CORES": "8"})}, {"CORES": "8"}))  # fmt: skip
    assert "cores of a machine: given" in shown
    for figure in figures.FIGURES.values():
        assert figure.meaning in shown


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({}, "RPS is missing: make plan RPS=500"),
        ({"RPS": "many"}, "RPS='many': must be a number from 0.1 to 10,000,000"),
        ({"RPS": "0"}, "RPS='0'"),
        ({"RPS": "nan"}, "RPS='nan'"),
        ({"RPS": "5", "USERS": "1.5"}, "USERS='1.5': must be a whole number"),
        ({"RPS": "5", "APP_MS": "-1"}, "APP_MS='-1'"),
        ({"RPS": "5", "BUSY": "1"}, "BUSY='1': must be a number from 0.05 to 0.95"),
        ({"RPS": "5", "CORES": "two"}, "CORES='two': must be a whole number"),
        ({"RPS": "500", "USERS": "10", "THINK": "10"}, "10 users with a request every 10 s"),
        ({"RPS": "5", "JSON": "yes"}, "JSON='yes': must be 1 or 0"),
        ({"RPS": "9000", "APP_WAIT_MS": "60000"}, "STACK_PROCESSES is at most 128"),
    ],
)
def test_bad_input_is_named(environ: dict[str, str], said: str) -> None:
    with pytest.raises(StackError) as raised:
        command.plan(environ)
    assert said in str(raised.value)


def test_json_has_the_plan_and_its_figures(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.plan({"RPS": "500", "JSON": "1"}) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["demand"]["rps"] == 500
    assert found["machines"] == 1
    assert found["figures"]["REDIS_US"] == figures.FIGURES["REDIS_US"].value
    assert found["limits"][0]["rps"] == min(limit["rps"] for limit in found["limits"])


def test_the_example_of_the_documentation_is_what_it_prints() -> None:
    page = (CHECKOUT / "docs" / "scale-out.md").read_text(encoding="utf-8")
    example = re.search(r"`make plan RPS=50000`, shortened:\n\n```\n(.*?)```", page, re.DOTALL)
    assert example
    printed = list(command.lines(planned(RPS="50000"), figures.read({}), {}))
    shown = [line for line in example[1].splitlines() if line]
    assert len(shown) == 8
    assert [line for line in shown if line not in printed] == []
    assert f"the plan has {planned(RPS='50000', APP_MS='4').all_machines} machines" in page


def test_an_agreement_is_within_the_stated_error() -> None:
    row = check.Row("p50", "ms", 10.0, 10.0)
    assert row.agrees
    assert replace(row, measured=10 * row.error * 0.99).agrees
    assert not replace(row, measured=10 * row.error * 1.01).agrees
    assert not replace(row, measured=10 / row.error / 1.01).agrees
    assert math.isclose(row.error, check.STATED_ERROR["p50"])
