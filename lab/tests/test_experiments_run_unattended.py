"""`make experiments` runs what is missing, stops what hangs, and says what came out."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from rich.console import Console

from lab import cli, compare, series
from lab.judge import verdict
from lab.plan import sources
from lab.plan.experiment import Experiment
from lab.plan.experiment_file import parse
from lab.runs import Run
from lab.tests.fake_bench import TOML, FakeBench, NoGates, plan, runner
from lab.trial import Trial, Void
from tests.waiting import wait_until

HERE = {"tree": "a", "revision": "1"}


def item(results: Path, name: str = "locks") -> series.Item:
    planned = plan(experiment=name, minutes=1.0, conditions=HERE)
    return series.Item(parse(TOML, f"{name}.toml"), planned, results)


def finished(results: Path, name: str = "locks", **changes: object) -> Run:
    run = Run.create(
        plan(experiment=name, **{"minutes": 9.0, "conditions": HERE, "chosen": True, **changes}),
        results,
    )
    run.finish()
    found = verdict.of(parse(TOML, f"{name}.toml"), [], {})
    run.save_verdict({**found, "trustworthy": True, "headline": "Yes: 3 become 1."})
    return run


class Lab:
    """Stands for series.lab: *codes* by experiment; a run that ends with 0 is complete."""

    def __init__(self, codes: dict[str, int | None]) -> None:
        self.codes = codes
        self.asked: list[str] = []

    def __call__(
        self, results: Path, arguments: Sequence[str], limit_s: float, *, quiet: bool = False
    ) -> int | None:
        assert limit_s > 0
        self.asked.append(" ".join(word for word in arguments if "minutes" not in word))
        code = self.codes.get(arguments[-1] if arguments[0] == "report" else arguments[1], 0)
        if arguments[0] == "compare" and code == 0:
            finished(results, arguments[1])
        return code


def ran(
    monkeypatch: pytest.MonkeyPatch, lab: Lab, items: Sequence[series.Item], **options: bool
) -> tuple[int, str]:
    """The exit code and the table."""
    monkeypatch.setattr(series, "lab", lab)
    given = {"publish": False, "fresh": False, "rehearsal": False, **options}
    whole = series.Series(items, hours=3.0, **given)
    whole.run()
    console = Console(width=160, record=True, file=(items[0].results / "out").open("w"))
    return whole.show(console), console.export_text()


def test_what_is_complete_is_kept_and_published_and_the_rest_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished(tmp_path, "one")
    lab = Lab({})
    items = [item(tmp_path, name) for name in ("one", "two")]
    code, table = ran(monkeypatch, lab, items, publish=True)
    assert lab.asked == ["report --publish one", "compare two", "report --publish two"]
    assert code == 0
    assert "2 of 2 are believed" in table
    assert "Yes: 3 become 1." in table


def test_a_run_that_hangs_or_fails_is_named_and_the_next_one_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = Lab({"hangs": None, "fails": 2})
    items = [item(tmp_path, name) for name in ("fails", "hangs", "works")]
    code, table = ran(monkeypatch, lab, items)
    assert len(lab.asked) == 3
    assert code == 3
    assert "ended with exit code 2" in table
    assert "stopped after 1 s" in table
    assert "1 of 3 are believed" in table


def test_files_that_change_meanwhile_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lab(folder: Path, arguments: Sequence[str], limit_s: float) -> int:
        finished(folder, arguments[1], conditions={**HERE, "tree": "edited"})
        return 0

    _, table = ran(monkeypatch, lab, [item(tmp_path)])  # type: ignore[arg-type]
    assert "ended with exit code 0: other tree" in table


def test_an_untrustworthy_run_is_complete_and_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = finished(tmp_path)
    found = verdict.of(parse(TOML, "locks.toml"), [], {})
    run.save_verdict({**found, "trustworthy": False, "why": "the twin differs"})
    code, table = ran(monkeypatch, Lab({}), [item(tmp_path)])
    assert code == 3
    assert "UNTRUSTWORTHY" in table
    assert "the twin differs" in table


@pytest.mark.parametrize(
    ("changes", "kept"),
    [
        ({"conditions": {**HERE, "revision": "2"}}, True),
        ({"blocks": 12}, True),
        ({"conditions": {**HERE, "tree": "b"}}, False),
        ({"toml": TOML + "\n"}, False),
        ({"minutes": None}, False),
        ({"quick": True}, False),
    ],
    ids=["commit of documents", "blocks", "files", "experiment", "by hand", "quick"],
)
def test_a_run_is_kept_if_what_it_measured_is_the_same(
    tmp_path: Path, changes: dict[str, object], kept: bool
) -> None:
    finished(tmp_path, **changes)
    assert item(tmp_path).is_complete() is kept


def test_a_rehearsal_names_what_never_ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lab(folder: Path, arguments: Sequence[str], limit_s: float, **_: bool) -> int:
        assert "--rehearsal" in arguments
        run = finished(folder, arguments[1], minutes=None, rehearsal=True, chosen=False)
        for arm in ("off", "on"):
            trial = Trial(1, arm, "full", 1, "2026-01-01T00:00:00+00:00", 1.0, 100)
            if arguments[1] == "broken" and arm == "on":
                trial.voids = [Void(compare.DID_NOT_RUN, "a test wants it so")]
            run.append([trial])
        return 3

    names = ("broken", "whole")
    items = [item(tmp_path, name) for name in names]
    for one in items:
        one.plan = replace(one.plan, minutes=None, rehearsal=True)
    code, table = ran(monkeypatch, lab, items, rehearsal=True)  # type: ignore[arg-type]
    assert code == 3
    assert "never ran: on under full" in table
    assert "every arm ran under every load" in table
    assert "1 of 2 ran whole" in table


def test_the_last_experiment_does_not_get_more_time_than_it_can_use(tmp_path: Path) -> None:
    whole = series.Series([item(tmp_path)], hours=24.0, publish=False, fresh=False, rehearsal=False)
    (last,) = whole.items
    assert whole._share_s(last, [last]) == pytest.approx(last.seconds(compare.MOST_CHOSEN))


def test_too_few_hours_are_refused(tmp_path: Path) -> None:
    with pytest.raises(series.SeriesError, match=r"HOURS must be at least 0\.\d"):
        series.Series([item(tmp_path)], hours=0.01, publish=False, fresh=False, rehearsal=False)


def test_publishing_needs_a_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    dirty = {**HERE, "revision": "1-dirty"}
    monkeypatch.setattr(cli, "_conditions", lambda _: dirty)
    code = cli.main([f"--results={tmp_path}", "experiments", "--publish", "sessions"])
    assert code == cli.USAGE
    assert "commit your changes first" in capsys.readouterr().err


STUBBORN = """#!/bin/sh
trap '' INT TERM
sleep 300 &
echo $! >"$(dirname "$0")/child"
wait; wait; wait
"""


def test_a_command_that_does_not_stop_is_killed_with_what_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "program"
    program.write_text(STUBBORN)
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    monkeypatch.setattr(series, "STOP_WITHIN_S", 0.5)
    assert series.lab(tmp_path, ["compare", "x"], 1.5) is None
    child = int((tmp_path / "child").read_text())
    wait_until(lambda: is_dead(child))


def is_dead(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


# The number of blocks


def chosen(run: Run, enough: int, *, seconds_per_trial: float = 0.0) -> int:
    bench = FakeBench()
    bench.on_trial = lambda _: time.sleep(seconds_per_trial)
    whole = runner(run, bench, NoGates())

    def enough_blocks(_: Experiment, trials: Sequence[Trial], most: int) -> int:
        assert {trial.block for trial in trials} == {1, 2, 3}
        return min(enough, most)

    whole._enough_blocks = enough_blocks
    whole.run()
    return max(trial.block for trial in run.trials)


@pytest.mark.parametrize(("enough", "blocks"), [(3, 8), (11, 11), (99, 20)])
def test_the_noise_chooses_the_blocks_within_bounds(
    tmp_path: Path, enough: int, blocks: int
) -> None:
    run = Run.create(plan(blocks=10, minutes=600.0), tmp_path)
    assert chosen(run, enough) == blocks
    again = Run.open(run.folder).plan
    assert (again.blocks, again.chosen) == (blocks, True)


def test_the_time_limits_the_blocks_but_not_below_eight(tmp_path: Path) -> None:
    run = Run.create(plan(blocks=10, minutes=0.001), tmp_path)
    assert chosen(run, 20) == 8


def test_a_continued_run_keeps_its_choice(tmp_path: Path) -> None:
    run = Run.create(plan(blocks=11, minutes=600.0, chosen=True), tmp_path)
    assert chosen(run, 20) == 11
    newer = plan(blocks=10, minutes=5.0)
    assert run.plan.differences(newer) == []


def test_a_run_that_is_late_ends_after_a_whole_block(tmp_path: Path) -> None:
    run = Run.create(plan(blocks=15, minutes=0.0001, chosen=True), tmp_path)
    assert chosen(run, 15) == 8
    assert Run.open(run.folder).plan.blocks == 8


# The files that figures depend on


@pytest.mark.parametrize(
    ("name", "matters"),
    [
        ("app/x.py", True),
        ("app/new.py", True),
        ("lab/measure/x.py", True),
        ("app/tests/x.py", False),
        ("app/README.md", False),
        ("lab/report/x.py", False),
        ("lab/results/x.md", False),
        ("README.md", False),
    ],
)
def test_documents_tests_and_reports_change_no_figure(
    repository: Path, name: str, matters: bool
) -> None:
    before = sources.measured(repository)
    assert not sources.is_changed(repository)
    (repository / name).parent.mkdir(exist_ok=True)
    (repository / name).write_text("2\n")
    assert sources.is_changed(repository) is matters
    assert (sources.measured(repository) != before) is matters


def test_a_rehearsal_has_every_arm_and_load() -> None:
    whole = cli._parser().parse_args(["compare", "thunder-lock", "--rehearsal"])
    file, text = cli._file_and_text(whole)
    planned = cli._plan(parse(text, str(file)), text, file, cli._number_of_blocks(whole), whole)
    short, full = cli.experiment_of(planned), cli.experiment_of(replace(planned, rehearsal=False))
    assert planned.blocks == 2
    assert short.arms == full.arms
    assert [load.name for load in short.loads] == [load.name for load in full.loads]
