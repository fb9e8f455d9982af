"""The lab's locustfile: carries out a plan, which is a rotation, an open loop or a closed loop.

load.py starts ``python -m locust -f lab/measure/generator.py`` with the path of the plan file in
LAB_LOAD_PLAN (see load_plan.py). Locust spawns the users and shows them on its page. Its request
event fires once per request under the arm's name, except at the beginning of a rotation's turns.
The response time counts from the intended moment; service time and lag are in the context. The
counts are reset after the warm-up. CSV files, the HTML report and other listeners therefore see an
ordinary test.
"""

# mypy: allow-untyped-calls
# (Locust says that it is typed and leaves many functions without types.)
from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import gevent
from gevent.hub import Waiter
from locust import User, events, stats, task

from lab.measure import load_plan as plans
from lab.measure.conductor import Conductor, Job
from lab.measure.connection import Connection
from lab.measure.tally import TargetFailed
from loadtest.target import TargetError, refuse_foreign


def bucket(milliseconds: float) -> float:
    """Round to three significant digits, but not finer than 0.1 ms.

    Locust rounds to 1 ms, which hides that a response of 3 ms became 15 % slower.
    """
    if milliseconds < 100:
        return round(milliseconds, 1)
    digits = len(str(int(milliseconds))) - 3
    return round(milliseconds, -digits)


stats.bucket_response_time = bucket  # type: ignore[assignment]  # annotated as int


class LabUser(User):
    """A client with a keep-alive connection to every arm. The conductor assigns its jobs.

    It is no FastHttpUser for the reasons given in connection.py.
    """

    connections: Sequence[Connection] = ()

    @task
    def work(self) -> None:
        conductor: Conductor = self.environment.conductor
        self.connections = [arm.connect(conductor.plan.patience_s) for arm in conductor.arms]
        self.inbox = Waiter()
        while True:
            conductor.add_idle(self)
            job = self.inbox.get()
            self.inbox.clear()
            job(self)

    def assign(self, job: Job) -> None:
        gevent.get_hub().loop.run_callback(self.inbox.switch, job)

    def on_stop(self) -> None:
        for connection in self.connections:
            connection.close()


def begin(environment: Any, **_: Any) -> None:
    """Listener of ``init``: read the plan, refuse foreign targets, register the run."""
    path = os.environ.get(plans.PLAN_VARIABLE)
    if path is None:
        sys.exit(f"{plans.PLAN_VARIABLE} is not set: load.py sets it to the path of the plan")
    plan = plans.Plan.read(Path(path))
    result = Path(path).with_name(plans.RESULT_FILE)
    try:
        for target in plan.targets:
            refuse_foreign(target.address, os.environ)
    except TargetError as error:
        sys.exit(str(error))
    run = Run(environment, plan, result)
    events.user_error.add_listener(run.fail)
    events.test_start.add_listener(run.prepare)
    events.spawning_complete.add_listener(run.start)
    events.test_stopping.add_listener(run.stop)
    if environment.parsed_options.headless:
        # The default raises KeyboardInterrupt in whichever user is running, and a shell ignores
        # SIGINT for background processes.
        gevent.signal_handler(signal.SIGINT, run.quit)
    gevent.signal_handler(plans.FINISH_SIGNAL, run.finish)
    gevent.spawn(run.report, int(os.environ.get(plans.PARENT_VARIABLE, "0")))


class Run:
    """A test of Locust's. Headless there is one; Locust's page can start more."""

    def __init__(self, environment: Any, plan: plans.Plan, result: Path) -> None:
        self.environment = environment
        self.plan = plan
        self.result = result
        self.greenlet: gevent.Greenlet | None = None
        self.ended = False

    def prepare(self, **_: Any) -> None:
        self.ended = False
        self.conductor = Conductor(self.environment, self.plan, say)
        self.environment.conductor = self.conductor

    def start(self, user_count: int, **_: Any) -> None:
        if self.greenlet is None:  # Locust's page can change the number of users later
            self.greenlet = gevent.spawn(self.conduct, user_count)

    def stop(self, **_: Any) -> None:
        if self.greenlet is not None and self.greenlet is not gevent.getcurrent():
            self.greenlet.kill()
        self.greenlet = None

    def finish(self) -> None:
        if self.greenlet is not None:
            self.conductor.finish()

    def quit(self) -> None:
        self.environment.runner.quit()

    def fail(self, exception: Exception, tb: TracebackType | None, **_: Any) -> None:
        """Listener of ``user_error``. Locust would log the error and start the task again at once,
        without end: a user without tasks wrote 790 MB of log in six minutes."""
        text = "".join(traceback.format_exception(exception.with_traceback(tb)))
        gevent.spawn(self.end, {"error": f"a user failed:\n{text}", "generator": True})

    def conduct(self, users: int) -> None:
        try:
            found = self.conductor.run(users)
        except TargetFailed as error:
            found = {"error": str(error)}
        except Exception:
            # load.py waits for a result.
            text = f"the generator failed:\n{traceback.format_exc()}"
            found = {"error": text, "generator": True}
        self.end(found)

    def end(self, found: dict[str, Any]) -> None:
        """Write the result, the first one only, and stop."""
        if self.ended:
            return
        self.ended = True
        new = self.result.with_suffix(".new")
        new.write_text(json.dumps(found) + "\n", encoding="utf-8")
        new.replace(self.result)
        # The result holds the faults of the arms. The exit code is about the generator alone.
        self.environment.process_exit_code = int("generator" in found)
        runner, options = self.environment.runner, self.environment.parsed_options
        if options.csv_prefix:
            # Locust writes its files at intervals, not at the end.
            gevent.sleep(1.5 * stats.CSV_STATS_INTERVAL_SEC)
        if options.headless:
            runner.quit()
        else:
            runner.stop()

    def report(self, parent: int) -> None:
        """Print the progress every second, and quit when *parent* has ended."""
        while True:
            gevent.sleep(1)
            if parent and os.getppid() != parent:
                self.quit()
                return
            if self.greenlet is not None:
                say(self.conductor.progress())


def say(line: str) -> None:
    print(plans.MARK + line, flush=True)


events.init.add_listener(begin)
