"""An interrupted run leaves nothing running, and the same command continues in its folder."""

import json
from pathlib import Path

import pytest

from lab import runs
from lab.runs import ResultsError, Run
from lab.tests.fake_bench import BAD, FakeBench, NoGates, new_run, plan, runner
from lab.trial import Trial


def interrupted(run: Run, after: int) -> FakeBench:
    """Interrupt the run after so many trials, as Ctrl-C does."""
    bench = FakeBench()

    def interrupt(trial: Trial) -> None:
        if len(run.trials) >= after:
            raise KeyboardInterrupt

    bench.on_trial = interrupt
    with pytest.raises(KeyboardInterrupt):
        runner(run, bench).run()
    return bench


def work(trials: list[Trial]) -> list[tuple[int, str, str, int]]:
    return [(trial.block, trial.arm, trial.load, trial.attempt) for trial in trials]


@pytest.mark.parametrize("after", [0, 5, 6, 14, 18, 23, 35])
def test_the_rest_follows_the_planned_order(tmp_path: Path, after: int) -> None:
    whole = new_run(tmp_path / "whole")
    runner(whole, FakeBench()).run()

    cut = new_run(tmp_path / "cut")
    assert interrupted(cut, after).running == 0
    again = Run.open(cut.folder)
    assert again.plan.finished is None
    assert len(again.trials) == after
    bench = FakeBench()
    runner(again, bench).run()
    assert work(again.trials) == work(whole.trials)
    assert "capacity of off" not in bench.log, "the capacity is measured once per run"
    assert Run.open(cut.folder).plan.finished is not None


def test_another_seed_is_another_order(tmp_path: Path) -> None:
    orders = set()
    for seed in range(6):
        run = new_run(tmp_path / str(seed), toml=f"seed = {seed + 1}\n{plan().toml}", blocks=4)
        runner(run, FakeBench()).run()
        orders.add(tuple(work(run.trials)))
    assert len(orders) == 6


def test_an_incomplete_line_is_measured_again(tmp_path: Path) -> None:
    run = new_run(tmp_path)
    interrupted(run, 6)
    file = run.folder / "trials.jsonl"
    file.write_text(file.read_text() + '{"block":1,"arm":"of', encoding="utf-8")
    torn = file.read_text()
    again = Run.open(run.folder)
    assert len(again.trials) == 6
    assert file.read_text() == torn, "opening a run does not change it"
    runner(again, FakeBench()).run()
    assert all(json.loads(line) for line in file.read_text().splitlines())


def test_an_incomplete_rotation_is_not_paired_with_the_next(tmp_path: Path) -> None:
    run = new_run(tmp_path, blocks=1)
    runner(run, FakeBench()).run()
    file = run.folder / "trials.jsonl"
    turns = [line for line in file.read_text().splitlines() if '"load":"turns"' in line]
    file.write_text("".join(f"{line}\n" for line in turns[:2]), encoding="utf-8")
    again = Run.open(run.folder)
    runner(again, FakeBench()).run()
    whole = [trial.attempt for trial in again.trials if trial.load == "turns"][2:]
    assert whole == [2, 2, 2, 2, 2], "arms of one rotation, without those of the incomplete one"


def test_a_complete_block_is_compared_after_an_interruption(tmp_path: Path) -> None:
    run = new_run(tmp_path, blocks=1)
    runner(run, FakeBench()).run()
    again, gates = Run.open(run.folder), NoGates()
    gates.relatives = {("on", "full"): BAD}
    runner(again, FakeBench(), gates).run()
    tried = [trial.voids for trial in again.trials if (trial.arm, trial.load) == ("on", "full")]
    assert tried == [BAD, BAD, BAD]


def test_only_the_same_run_is_continued() -> None:
    here = {
        "kernel": "6.1",
        "revision": "a1",
        "versions": {"nginx": "1.26", "flask": "3.1"},
        "load_average": [0.1],
    }
    this = plan(conditions=here)
    busy = {**here, "load_average": [2.0]}
    assert this.differences(plan(seed=99, capacity_rps=5.0, conditions=busy)) == []
    newer = {"nginx": "1.27", "flask": "3.1"}
    for change, name in (
        ({"toml": "# changed\n"}, "toml"),
        ({"blocks": 3}, "blocks"),
        ({"quick": True}, "quick"),
        ({"runtime": "compose"}, "runtime"),
        ({"conditions": {**here, "kernel": "6.2"}}, "kernel"),
        ({"conditions": {**here, "revision": "b2"}}, "revision"),
        ({"conditions": {**here, "versions": newer}}, "versions of nginx"),
    ):
        assert this.differences(plan(**{"conditions": here, **change})) == [name]


def test_latest_is_the_newest_of_each_and_of_all(tmp_path: Path) -> None:
    assert runs.latest("locks", tmp_path) is None
    assert runs.newest(tmp_path) is None
    first = new_run(tmp_path)
    second = new_run(tmp_path)
    assert first.folder != second.folder
    assert runs.latest("locks", tmp_path) == second.folder.resolve()
    assert runs.newest(tmp_path) == second.folder.resolve()


def test_two_commands_cannot_share_a_folder(tmp_path: Path) -> None:
    run = new_run(tmp_path)
    with run.held(), pytest.raises(ResultsError, match="another command is writing to"):  # noqa: SIM117
        with Run.open(run.folder).held():
            pytest.fail("two at once")
    with Run.open(run.folder).held():
        pass


def test_a_folder_without_a_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="does not hold a run of the lab"):
        Run.open(tmp_path)
    run = new_run(tmp_path)
    (run.folder / "trials.jsonl").write_text("{}\n")
    with pytest.raises(ResultsError, match="line 1, is not a trial"):
        Run.open(run.folder)
