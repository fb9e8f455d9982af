"""Each published claim has its source and can be tried with the arms and loads of its file."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.judge import claims
from lab.measure import facts
from lab.plan.experiment_file import EXPERIMENTS, ExperimentError, find, parse, read
from lab.trial import METRICS

FILE = EXPERIMENTS / "published-claims.toml"
TEXT = FILE.read_text(encoding="utf-8")


def test_the_file_is_correct_and_short_apart_from_its_claims() -> None:
    experiment = read(find("published-claims"))
    assert len(TEXT.splitlines()) - len(experiment.claims) <= 40


def test_every_probe_has_a_claim() -> None:
    assert set(claims.facts_needed(read(FILE).claims)) == set(facts.PROBES)


def test_every_arm_has_a_claim() -> None:
    experiment = read(FILE)
    named = {name for claim in experiment.claims.values() for name in (claim.arm, claim.against)}
    assert {arm.name for arm in experiment.arms if arm.role == "arm"} <= named


def test_the_stand_in_of_a_rate_is_cpu_time() -> None:
    """Rates are the least precise figures on a busy machine. The claim about the lock has no
    stand-in, because CPU time does not show idle cores."""
    claims = read(FILE).claims
    rates = {name for name, claim in claims.items() if claim.metric == "rps"}
    stand_ins = {name: claim.stand_in for name, claim in claims.items() if claim.stand_in}
    assert stand_ins.keys() == rates - {"techempower-lock"}
    assert {METRICS[metric].kind for metric in stand_ins.values()} == {"cpu"}


@pytest.mark.parametrize(
    ("right", "wrong", "told"),
    [
        ('ratio = 0.8 ', 'ratio = "less" ', "ratio = 'less': must be a number"),
        ('fact = "harakiri-kills" ', 'fact = "harakiri" ', "'harakiri' is not a valid fact"),
        ('against = "gunicorn", load', 'against = "guni", load', "'guni' is not a valid against"),
    ],
)  # fmt: skip
def test_a_wrong_claim_is_reported_with_its_line(right: str, wrong: str, told: str) -> None:
    line = next(n for n, text in enumerate(TEXT.splitlines(), 1) if right in text)
    with pytest.raises(ExperimentError) as error:
        parse(TEXT.replace(right, wrong, 1), "my-claims.toml")
    assert str(error.value).startswith(f"my-claims.toml, line {line}: {told}")


def test_the_short_app_has_one_answer_for_all_paths() -> None:
    from lab.servers.short import BODY, application

    started = []
    for path in ("/readyz", "/workload/protected"):
        body = application({"PATH_INFO": path}, lambda *given: started.append(given))
        assert list(body) == [BODY]
    assert started[0] == started[1]
    assert started[0][0] == "200 OK"


def test_its_servers_can_be_started() -> None:
    from lab.plan.servers import SERVERS

    root = Path(__file__).resolve().parents[2]
    for arm in read(FILE).arms:
        assert (root / SERVERS[arm.server].program.entrypoint).stat().st_mode & 0o111
