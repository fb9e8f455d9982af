"""Measures trials: starts arms, applies loads, reads counters, and stops the arms.

Costs are measured in a rotation, in which all arms are up and get slices of the load in turn. All
other figures are those of an arm that runs alone. trial.py defines the figures. The evidence that
is collected here lets the gates of judge/ decide whether a trial is valid.
"""

from __future__ import annotations

import http.client
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from scipy.stats import trim_mean

from lab.measure import (
    counters,
    eagain,
    load,
    login_cookie,
    own_locustfile,
    reloading,
    running_arm,
    why,
)
from lab.measure.interrupts import interrupts
from lab.measure.load import LoadError, LoadResult, Target
from lab.measure.load_plan import MEASURING
from lab.measure.machine import Watch
from lab.measure.reloading import Reload
from lab.measure.running_arm import RunningArm, Runtime
from lab.plan.arms import ArmSpec
from lab.plan.experiment import Experiment, Load
from lab.plan.schedule import SoloRun
from lab.plan.traffic import masks
from lab.trial import TRIM, Evidence, ShowStatus, Trial, TrialFailed
from stack.errors import StackError

# For imports, pools and first page faults. The login has already reached the processes.
WARM_S = 0.5

# Users without think time that keep any arm busy, and the time in which a rate is known to 5 %.
CAPACITY_USERS = 16
CAPACITY_S = 3.0
# A closed loop has no bursts, so its highest rate is above that of an open loop. The search for the
# latter goes down from it.
CAPACITY_STEP = 0.9
CAPACITY_STEPS = 10

# A dose needs no more precision than 10 %.
COST_ROUNDS, COST_SLICE = 10, 40

EAGAIN_REQUESTS = 300

PERCENTS = (50, 95, 99)


class Testbed:
    """Real servers on this machine. *folder* keeps Locust's plan, result and log.

    Each method raises TrialFailed. Closing its iterator, early or not, stops what it started.
    """

    def __init__(self, runtime: Runtime, folder: Path) -> None:
        self._runtime = runtime
        self._folder = folder
        folder.mkdir(exist_ok=True)

    def capacity(self, arm: ArmSpec, under: Load, say: ShowStatus) -> float:
        """The highest rate in requests/s at which *arm* alone serves an open loop without dropped
        arrivals, searched downwards from its rate in a closed loop."""
        with self._alone(arm, under.path) as running, _as_trial_failure():
            target = _target(running, under)
            closed = load.closed(
                target,
                users=CAPACITY_USERS,
                seconds=CAPACITY_S,
                requests=None,
                warm_s=2 * WARM_S,
                seed=1,
                folder=self._folder,
                progress=say,
            )
            _require_correct_answers(arm, closed)
            rate = closed.done / closed.seconds
            for step in range(CAPACITY_STEPS):
                rate *= CAPACITY_STEP
                say(f"{rate:,.0f} requests/s on schedule")
                found = load.open_loop(
                    target,
                    rate=rate,
                    seconds=CAPACITY_S,
                    warm_s=WARM_S,
                    seed=step,
                    folder=self._folder,
                    progress=say,
                )
                _require_correct_answers(arm, found)
                if not found.dropped:
                    return rate
        raise TrialFailed(
            f"{arm.name} drops arrivals even at {rate:,.0f} requests/s, a third of its rate in a "
            "closed loop: is another program using this machine?"
        )

    def cost(self, arm: ArmSpec, under: Load, say: ShowStatus) -> float:
        """The CPU time per request of *arm* alone, in µs."""
        with self._alone(arm, under.path) as running, _as_trial_failure():
            found = load.rotate(
                [_target(running, under)],
                users=under.users,
                rounds=COST_ROUNDS,
                slice=COST_SLICE,
                seed=1,
                folder=self._folder,
                progress=say,
            )
        return float(trim_mean(found[arm.name].rounds["cpu_us"], TRIM))

    def rotate(
        self, experiment: Experiment, loads: Sequence[Load], seed: int, say: ShowStatus
    ) -> Generator[list[Trial], None, None]:
        """Start all arms of *loads* side by side; for each load, yield the trials of its arms."""
        specs = [
            arm
            for arm in experiment.arms
            if any(arm in experiment.arms_under(load) for load in loads)
        ]
        with self._side_by_side(specs, loads[0].path, say) as running:
            for number, under in enumerate(loads):
                names = {arm.name for arm in experiment.arms_under(under)}
                taking_part = [arm for arm in running if arm.spec.name in names]
                say(f"{under.name}: starting")
                yield self._rotation(taking_part, under, seed + number, say)

    def run_alone(
        self, solo: SoloRun, seeds: Mapping[str, int], say: ShowStatus
    ) -> Generator[Trial, None, None]:
        """Start one arm; yield a trial for each of its loads. *seeds*: load name → seed."""
        with self._alone(solo.arm, solo.loads[0].path) as running:
            fresh = counters.memory(running.pids()["app"])
            start = {
                "start_s": running.start_s,
                "start_pss_mb": fresh.pss_bytes / 1e6,
                "start_uss_mb": fresh.uss_bytes / 1e6,
            }
            for under in solo.loads:
                say(f"{under.name}: starting")
                trial = self._service(running, under, seeds[under.name], say)
                if under.kind != "reload":
                    trial.figures |= start
                yield trial

    def why(self, arm: ArmSpec, under: Load, say: ShowStatus) -> dict[str, Any]:
        """Where the cost of *arm* comes from (lab.measure.why)."""
        with self._alone(arm, under.path) as running, _as_trial_failure():
            target = _target(running, under)

            def send(requests: int) -> int:
                done = load.closed(
                    target, users=under.users, seconds=None, requests=requests, warm_s=0.0,
                    seed=1, folder=self._folder, progress=say, patience_s=4 * load.PATIENCE_S,
                )  # fmt: skip
                return done.sent + done.earlier

            return why.explain(running.pids(), send)

    # ── Loads ───────────────────────────────────────────────────────────────────────────────────

    def _rotation(
        self, running: Sequence[RunningArm], under: Load, seed: int, say: ShowStatus
    ) -> list[Trial]:
        with _as_trial_failure():
            targets = [_target(arm, under) for arm in running]
        before = [_Counted(arm) for arm in running]
        watch = _Watching(say, under.name)
        with _as_trial_failure():
            results = load.rotate(
                targets,
                users=under.users,
                rounds=under.rounds,
                slice=under.slice,
                seed=seed,
                folder=self._folder,
                progress=watch,
            )
            seen = watch.watch.seen()
            trials = []
            for arm, then in zip(running, before, strict=True):
                result = results[arm.spec.name]
                now = _Counted(arm)
                trial = _trial(arm, under, result, then, now)
                del trial.figures["pss_mb"], trial.figures["uss_mb"]  # shared with neighbours
                trial.rounds = result.rounds
                trial.figures |= {
                    name: float(trim_mean(values, TRIM)) for name, values in result.rounds.items()
                }
                trial.evidence.idle_share = result.idle_share
                trial.evidence.stolen, trial.evidence.pressure = seen.stolen, seen.pressure
                trials.append(trial)
            if under.eagain:
                for arm, trial in zip(running, trials, strict=True):
                    found = eagain.measure(arm, partial(_send_sequentially, arm, under))
                    if isinstance(found, float):
                        trial.figures["eagain"] = found
        return trials

    def _service(self, running: RunningArm, under: Load, seed: int, say: ShowStatus) -> Trial:
        with _as_trial_failure():
            target = _target(running, under)
        before = _Counted(running)
        watch = _Watching(say, under.name)
        with _as_trial_failure():
            if under.kind == "reload":
                reloaded = reloading.reload(
                    running,
                    target,
                    mode=running.spec.how or under.how or "shipped",
                    rate=_rate(under),
                    seed=seed,
                    folder=self._folder,
                    progress=watch,
                )
                seen = watch.watch.seen()
                trial = _reload_trial(running, under, reloaded, before, _Counted(running))
            else:
                result = self._loaded(target, under, seed, watch)
                seen = watch.watch.seen()
                trial = _trial(running, under, result, before, _Counted(running))
                trial.figures["rps"] = result.response.count / result.seconds
                trial.evidence.slots = running.slots
                if under.locustfile:  # its requests may be sent in ways that Locust does not see
                    trial.evidence.served = trial.evidence.users = None
                trial.evidence.holds_s = holds_s(under.path)
                _add_schedule(trial, under, result)
        trial.evidence.stolen, trial.evidence.pressure = seen.stolen, seen.pressure
        return trial

    def _loaded(self, target: Target, under: Load, seed: int, watch: _Watching) -> LoadResult:
        if under.locustfile:
            return own_locustfile.run(
                target,
                under.locustfile,
                users=under.users,
                seconds=under.seconds,
                folder=self._folder,
                progress=watch,
            )
        if under.kind == "closed":
            return load.closed(
                target,
                users=under.users,
                seconds=None if under.requests else under.seconds,
                requests=under.requests,
                warm_s=WARM_S,
                seed=seed,
                folder=self._folder,
                progress=watch,
            )
        return load.open_loop(
            target,
            rate=_rate(under),
            seconds=under.seconds,
            warm_s=WARM_S,
            seed=seed,
            folder=self._folder,
            progress=watch,
            moments=_moments(under),
        )

    # ── Arms ────────────────────────────────────────────────────────────────────────────────────

    @contextmanager
    def _alone(self, spec: ArmSpec, path: str) -> Iterator[RunningArm]:
        with _as_trial_failure():
            running = running_arm.start(spec, path=path, runtime=self._runtime)
        with ExitStack() as cleanup:
            cleanup.callback(_stop, [running])
            yield running

    @contextmanager
    def _side_by_side(
        self, specs: Sequence[ArmSpec], path: str, say: ShowStatus
    ) -> Iterator[list[RunningArm]]:
        say(f"starting {len(specs)} arms")
        with _as_trial_failure():
            running = running_arm.start_all(specs, path=path, runtime=self._runtime)
        with ExitStack() as cleanup:
            cleanup.callback(_stop, running)
            yield running


class _Watching:
    """Reports progress, and starts a Watch when the measured part begins."""

    def __init__(self, say: ShowStatus, name: str) -> None:
        self._say = say
        self._name = name
        self.watch = Watch()

    def __call__(self, text: str) -> None:
        if text == MEASURING:
            self.watch = Watch()
        self._say(f"{self._name}: {text}")


class _Counted:
    """The counters of an arm's servers at the time of construction."""

    def __init__(self, arm: RunningArm) -> None:
        self.at = datetime.now(UTC).isoformat(timespec="milliseconds")
        self.served = arm.served()
        self.by_worker = arm.worker_requests()
        self.redis_commands = arm.redis_commands()


def _trial(
    arm: RunningArm, under: Load, result: LoadResult, before: _Counted, after: _Counted
) -> Trial:
    """The trial of a load that keeps the arm's processes."""
    trial = _answered(arm, under, result, before)
    sent = result.sent or 1
    used = result.used
    figures = {f"cpu_us_{service}": ns / 1000 / sent for service, ns in used.cpu_ns.items()}
    figures["cpu_us"] = sum(figures.values())
    figures["wakeups"] = used.voluntary["app"] / sent
    figures["preemptions"] = used.involuntary["app"] / sent
    figures["failed"] = result.errors + result.wrong
    served = after.served - before.served
    if served:
        figures["redis_commands"] = (after.redis_commands - before.redis_commands) / served
    if served and before.by_worker is not None and after.by_worker is not None:
        figures["balance"] = counters.balance(before.by_worker, after.by_worker)
    memory = counters.memory(arm.pids()["app"])
    figures["pss_mb"], figures["uss_mb"] = memory.pss_bytes / 1e6, memory.uss_bytes / 1e6
    trial.figures |= figures
    trial.evidence.errors, trial.evidence.wrong = result.errors, result.wrong
    trial.evidence.served = served - result.earlier
    return trial


def _reload_trial(
    arm: RunningArm, under: Load, reloaded: Reload, before: _Counted, after: _Counted
) -> Trial:
    """The trial of a reload. Failures are its result, so they are no evidence for the gates."""
    result = reloaded.load
    trial = _answered(arm, under, result, before)
    _add_schedule(trial, under, result)
    trial.figures = {
        "reload_s": reloaded.reload_s,
        "stall_ms": reloaded.stall_ms,
        "failed": reloaded.failed,
    }
    # A reload delays its requests on purpose.
    trial.evidence.dropped = trial.evidence.response_p50_ms = None
    if not reloaded.failed:
        trial.evidence.served = after.served - before.served - result.earlier
    if reloaded.kept:
        pids = ", ".join(map(str, reloaded.kept))
        trial.evidence.wrong_options.append(f"{reloaded.mode} reload: not replaced were {pids}")
    return trial


def _answered(arm: RunningArm, under: Load, result: LoadResult, before: _Counted) -> Trial:
    """The part of a trial that is common to all loads."""
    return Trial(
        block=0,
        arm=arm.spec.name,
        load=under.name,
        attempt=1,
        began=before.at,
        seconds=result.seconds,
        requests=result.done,
        figures={
            f"service_p{percent}_ms": result.service.percentile(percent) for percent in PERCENTS
        },
        evidence=Evidence(
            sent=result.sent,
            done=result.done,
            faults=result.faults,
            seconds=result.seconds,
            users=result.users,
            generator_cpu=result.generator_cpu,
            ended=len(result.used.lost),
            generator_nice=result.nice,
            wrong_options=list(arm.wrong_options),
        ),
        histograms={"response": result.response.encode(), "service": result.service.encode()},
        options={
            **arm.options,
            **{f"answer to {route}": text for route, text in result.answers.items()},
        },
    )


def _add_schedule(trial: Trial, under: Load, result: LoadResult) -> None:
    """Add response times, and the evidence about the schedule."""
    for percent in PERCENTS:
        trial.figures[f"p{percent}_ms"] = _of_intended(result, percent)
    evidence = trial.evidence
    if under.kind == "closed":
        evidence.mean_response_s = result.response.mean_ms / 1000
        return
    # In the open loop `users` is a limit, so Little's law does not apply to it.
    evidence.users = None
    evidence.intended, evidence.dropped = result.intended, result.dropped
    evidence.lag_p50_ms, evidence.lag_p99_ms = (result.lag.percentile(p) for p in (50, 99))
    evidence.response_p50_ms = result.response.percentile(50)


def _of_intended(result: LoadResult, percent: float) -> float:
    """A percentile of the response time in ms, of all intended requests. Those that were dropped or
    failed count as the longest wait; without them an overloaded server would look fast."""
    rank = percent * max(1.0, result.intended / (result.response.count or 1))
    return result.response.percentile(rank) if rank <= 100 else result.longest_wait_ms


def _rate(under: Load) -> float:
    if isinstance(under.rate, float):
        return under.rate
    raise TypeError(f"{under.name}: the rate {under.rate!r} is not in requests/s")


def _require_correct_answers(arm: ArmSpec, result: LoadResult) -> None:
    if result.errors or result.wrong:
        raise TrialFailed(f"{arm.name} gives wrong answers: {'; '.join(result.faults)}")


def holds_s(path: str) -> float | None:
    """The shortest time in seconds that a request of app/workload holds its slot; None: unknown."""
    where = urlsplit(path)
    names = {"/workload/cpu": ("ms",), "/workload/io": ("ms",), "/workload/mixed": ("cpu", "io")}
    given = parse_qs(where.query)
    try:
        return sum(float(given[name][0]) for name in names[where.path]) / 1000
    except (KeyError, ValueError):
        return None


def _target(arm: RunningArm, under: Load) -> Target:
    spec = arm.spec
    path, expect = spec.path or under.path, spec.expect or under.expect
    traffic = under.traffic
    if traffic is None:
        return Target(spec.name, arm.address, path, arm.cookie, expect, arm.pids())
    sessions = login_cookie.sessions(arm.address, arm.cookies, traffic.csrf)
    return Target(
        spec.name,
        arm.address,
        path,
        arm.cookie,
        expect,
        arm.pids(),
        requests=[request.to_plan() for request in traffic.requests],
        order=traffic.order(under.name),
        masks=masks(traffic.mask),
        sessions=sessions,
    )


def _moments(under: Load) -> list[float]:
    """The arrivals of a log in the time of the load; [] for any other load."""
    found = under.traffic.moments if under.traffic else ()
    return [moment for moment in found if moment < under.seconds]


def _send_sequentially(arm: RunningArm, under: Load) -> int:
    """Send EAGAIN_REQUESTS requests one after the other; return their number."""
    where = urlsplit(arm.address)
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=10)
    try:
        for _ in range(EAGAIN_REQUESTS):
            connection.request("GET", arm.spec.path or under.path, headers={"Cookie": arm.cookie})
            connection.getresponse().read()
    finally:
        connection.close()
    return EAGAIN_REQUESTS


def _stop(running: Sequence[RunningArm]) -> None:
    """Stop all of them, even if one fails to stop."""
    with interrupts.held(), ExitStack() as cleanup:
        for arm in running:
            cleanup.callback(arm.stop)


@contextmanager
def _as_trial_failure() -> Iterator[None]:
    """Raise the errors of arms and loads as TrialFailed."""
    try:
        yield
    except StackError as error:
        raise TrialFailed("\n".join(filter(None, (str(error), error.log)))) from error
    except (LoadError, OSError, http.client.HTTPException, login_cookie.NoCookie) as error:
        raise TrialFailed(str(error)) from error
