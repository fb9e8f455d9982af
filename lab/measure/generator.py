"""The lab's locustfile: a rotation over arms, an open loop or a closed one, as a plan says.

``python -m locust -f lab/measure/generator.py`` with LAB_LOAD_PLAN naming the plan file (see
plan.py); load.py starts it so. Locust spawns the users and shows them on its page. Its request
event fires once a request under the arm's name, with the response time from the intended moment and
service and lag in its context; the counts are reset when the warm-up is over. CSV files, the HTML
report and whatever else listens therefore see a test like any other.
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
from typing import Any

import gevent
from gevent.hub import Waiter
from locust import User, events, stats, task

from lab.measure import rotation as plans
from lab.measure.conductor import Conductor, Job
from lab.measure.connection import Connection
from lab.measure.tally import Hopeless

# recording: for what it does to Locust's own statistics, buckets of 0.1 ms instead of 1 ms.
from loadtest import recording  # noqa: F401
from loadtest.target import TargetError, refuse_foreign


class LabUser(User):
    """A client with a keep-alive connection to every arm. It does what the conductor hands it.

    Not a FastHttpUser, whose client the lab cannot use: see connection.py.
    """

    connections: Sequence[Connection] = ()

    @task
    def work(self) -> None:
        conductor: Conductor = self.environment.conductor
        self.connections = [arm.connect(conductor.plan.patience_s) for arm in conductor.arms]
        self.inbox = Waiter()
        while True:
            conductor.rest(self)
            job = self.inbox.get()
            self.inbox.clear()
            job(self)

    def take(self, job: Job) -> None:
        gevent.get_hub().loop.run_callback(self.inbox.switch, job)

    def on_stop(self) -> None:
        for connection in self.connections:
            connection.close()


def begin(environment: Any, **_: Any) -> None:
    """Listener of ``init``: read the plan, refuse foreign targets, and wait for the users."""
    path = os.environ.get(plans.PLAN_VARIABLE)
    if path is None:
        sys.exit(f"{plans.PLAN_VARIABLE} is not set: it names the plan file that load.py writes")
    plan = plans.Plan.read(Path(path))
    result = Path(path).with_name(plans.RESULT_FILE)
    try:
        for target in plan.targets:
            refuse_foreign(target.address, os.environ)
    except TargetError as error:
        sys.exit(str(error))
    run = Run(environment, plan, result)
    events.test_start.add_listener(run.prepare)
    events.spawning_complete.add_listener(run.start)
    events.test_stopping.add_listener(run.stop)
    if environment.parsed_options.headless:
        # The default would raise KeyboardInterrupt in whichever user runs, and a shell that starts
        # us in the background has SIGINT ignored.
        gevent.signal_handler(signal.SIGINT, run.quit)
    gevent.signal_handler(plans.FINISH_SIGNAL, run.finish)
    gevent.spawn(run.report, int(os.environ.get(plans.PARENT_VARIABLE, "0")))


class Run:
    """One test of Locust's: headless there is one, on Locust's page as many as people start."""

    def __init__(self, environment: Any, plan: plans.Plan, result: Path) -> None:
        self.environment = environment
        self.plan = plan
        self.result = result
        self.greenlet: gevent.Greenlet | None = None

    def prepare(self, **_: Any) -> None:
        self.conductor = Conductor(self.environment, self.plan, say)
        self.environment.conductor = self.conductor

    def start(self, user_count: int, **_: Any) -> None:
        if self.greenlet is None:  # on Locust's page the number of users can be changed later
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

    def conduct(self, users: int) -> None:
        runner = self.environment.runner
        try:
            found = self.conductor.run(users)
            if runner.exceptions:
                first = next(iter(runner.exceptions.values()))
                found = {"error": f"a user failed in itself: {first['msg']}\n{first['traceback']}"}
        except Hopeless as error:
            found = {"error": str(error)}
        except Exception:
            # Without a result and an end, load.py would wait for ever.
            found = {"error": f"the generator failed in itself:\n{traceback.format_exc()}"}
        new = self.result.with_suffix(".new")
        new.write_text(json.dumps(found) + "\n", encoding="utf-8")
        new.replace(self.result)
        # Faults of the arms are in the result; Locust's exit code is about its own work.
        self.environment.process_exit_code = 0
        options = self.environment.parsed_options
        if options.csv_prefix:
            # Locust writes its files at intervals and not once more at the end.
            gevent.sleep(1.5 * stats.CSV_STATS_INTERVAL_SEC)
        if options.headless:
            runner.quit()
        else:
            runner.stop()

    def report(self, parent: int) -> None:
        """Once a second: tell how far it is, and end if the process that wanted it has ended."""
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
