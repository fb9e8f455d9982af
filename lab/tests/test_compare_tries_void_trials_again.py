"""A void trial is repeated at the end of its block, at most twice; all attempts are kept."""

from pathlib import Path

import pytest

from lab.compare import RunFailed
from lab.runs import Run
from lab.tests.fake_bench import BAD, FakeBench, NoGates, new_run, runner
from lab.trial import Trial, TrialFailed, Void


def test_a_run_without_voids_does_everything_once(tmp_path: Path) -> None:
    run, bench = new_run(tmp_path), FakeBench()
    runner(run, bench).run()
    made = [(trial.block, trial.arm, trial.load) for trial in run.trials]
    assert len(made) == len(set(made)) == 2 * (3 * 5 + 3)
    assert {trial.attempt for trial in run.trials} == {1}
    assert bench.log[0] == "capacity of off"
    assert bench.log.count("rotate turns") == 2
    assert bench.rates == {300.0}, "30 % of 1000 requests/s"
    assert Run.open(run.folder).plan.finished is not None
    assert Run.open(run.folder).plan.capacity_rps == 1000.0


def test_loads_without_a_rotation_start_nothing_side_by_side(tmp_path: Path) -> None:
    toml = (
        'question = "?"\nprimary = { metric = "rps", load = "full" }\nbaseline = "a"\n'
        'canary = "wait_2"\n[loads]\nfull = { kind = "closed" }\n[arms]\na = {}\nb = {}\n'
    )
    bench = FakeBench()
    runner(new_run(tmp_path, toml=toml), bench).run()
    assert len(bench.log) == 2 * 5, "each arm and control alone, without a capacity"
    assert not any(line.startswith("rotate") for line in bench.log)


def test_loads_without_a_service_phase_start_no_arm_alone(tmp_path: Path) -> None:
    toml = (
        'question = "?"\nprimary = { metric = "cpu_us", load = "turns" }\nbaseline = "a"\n'
        'canary = "burn_40"\n[loads]\nturns = { kind = "rotation" }\n[arms]\na = {}\nb = {}\n'
    )
    bench = FakeBench()
    runner(new_run(tmp_path, toml=toml), bench).run()
    assert bench.log == ["rotate turns"] * 2


def test_a_void_service_trial_is_tried_again_alone_and_last(tmp_path: Path) -> None:
    run, bench = new_run(tmp_path, blocks=1), FakeBench()

    def once(trial: Trial) -> None:
        if (trial.arm, trial.load) == ("on", "full") and len(run.trials) < 18:
            trial.voids = BAD

    bench.on_trial = once
    runner(run, bench).run()
    assert bench.log[-1] == "alone on: full"
    tried = [(t.attempt, bool(t.voids)) for t in run.trials if (t.arm, t.load) == ("on", "full")]
    assert tried == [(1, True), (2, False)]
    assert len(run.trials) == 19


def test_a_void_in_a_rotation_repeats_it_for_all_arms(tmp_path: Path) -> None:
    run, bench = new_run(tmp_path, blocks=1), FakeBench()

    def once(trial: Trial) -> None:
        if (trial.arm, trial.load) == ("on", "turns") and not run.trials:
            trial.voids = BAD

    bench.on_trial = once
    runner(run, bench).run()
    assert bench.log.count("rotate turns") == 2
    attempts = {(t.arm, t.attempt) for t in run.trials if t.load == "turns"}
    arms = {"off", "on", "off (twin)", "off (wake_1)", "off (wake_2)"}
    assert attempts == {(arm, attempt) for arm in arms for attempt in (1, 2)}


def test_a_trial_gets_three_attempts_and_the_run_continues(tmp_path: Path) -> None:
    run, bench = new_run(tmp_path), FakeBench()

    def always(trial: Trial) -> None:
        if (trial.arm, trial.load) == ("on", "full"):
            trial.voids = BAD

    bench.on_trial = always
    runner(run, bench).run()
    tried = [(t.block, t.attempt) for t in run.trials if (t.arm, t.load) == ("on", "full")]
    assert tried == [(1, 1), (1, 2), (1, 3), (2, 1)], (
        "one attempt where all failed in an earlier block"
    )
    assert Run.open(run.folder).plan.finished is not None


def test_the_primary_load_gets_all_its_attempts_in_every_block(tmp_path: Path) -> None:
    run, bench = new_run(tmp_path), FakeBench()

    def always(trial: Trial) -> None:
        if trial.load == "turns":
            trial.voids = BAD

    bench.on_trial = always
    runner(run, bench).run()
    assert bench.log.count("rotate turns") == 2 * 3


def test_a_void_that_spoils_times_only_does_not_repeat_a_count(tmp_path: Path) -> None:
    run, bench = new_run(tmp_path, blocks=1), FakeBench()

    def late(trial: Trial) -> None:
        trial.voids = [Void("send lag", "late", "time")]

    bench.on_trial = late
    runner(run, bench).run()
    assert {trial.attempt for trial in run.trials} == {1}


def test_an_outlier_within_its_block_is_stored_as_void_and_repeated(tmp_path: Path) -> None:
    run, bench, gates = new_run(tmp_path, blocks=1), FakeBench(), NoGates()
    gates.relatives = {("on", "full"): BAD}
    runner(run, bench, gates).run()
    kept = [t for t in Run.open(run.folder).trials if (t.arm, t.load) == ("on", "full")]
    assert [(trial.attempt, trial.voids) for trial in kept] == [(1, BAD), (2, BAD), (3, BAD)]


def test_an_arm_that_fails_to_start_once_is_a_void(tmp_path: Path) -> None:
    run, bench = new_run(tmp_path, blocks=1), FakeBench()

    def once(trial: Trial) -> None:
        if trial.load == "full" and len(bench.log) < 4:
            raise TrialFailed("no port was free")

    bench.on_trial = once
    runner(run, bench).run()
    failed = [trial for trial in run.trials if trial.voids]
    assert failed
    assert {void.reason for trial in failed for void in trial.voids} == {"no port was free"}
    good = {(t.arm, t.load) for t in run.trials if not t.voids}
    assert good >= {(arm, load) for arm in ("off", "on") for load in ("open", "full", "chain")}


def test_an_arm_that_never_starts_ends_the_run(tmp_path: Path) -> None:
    run, bench = new_run(tmp_path, blocks=5), FakeBench()

    def never(trial: Trial) -> None:
        if trial.arm == "on" and trial.load != "turns":
            raise TrialFailed("unknown option")

    bench.on_trial = never
    # Its rotations run; only its loads alone fail.
    with pytest.raises(RunFailed, match="on: all 3 attempts failed: unknown option"):
        runner(run, bench).run()
    assert bench.running == 0
    assert max(trial.block for trial in run.trials) == 1
