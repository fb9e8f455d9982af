"""Workers forked from a loaded app run its fork handlers; threads before the fork are refused."""

import re
from pathlib import Path

from tests.servers.uwsgi import APP, Uwsgi, ask, serving
from tests.waiting import wait_until

HANDLER = """
os.register_at_fork(after_in_child=lambda: print("forked", os.getpid(), file=sys.stderr))
"""
THREAD = """
import threading

def spin():
    while True:
        sum(range(1000))

threading.Thread(target=spin, name="spinner", daemon=True).start()
"""


def test_each_worker_runs_the_fork_handlers(tmp_path: Path) -> None:
    with serving(tmp_path, app=APP + HANDLER, STACK_PROCESSES="3") as server:
        forked = {int(pid) for pid in re.findall(r"^forked (\d+)$", server.log, re.M)}
        assert set(server.workers().values()) <= forked


def test_threads_before_the_fork_are_refused(tmp_path: Path) -> None:
    server = Uwsgi(tmp_path, app=APP + THREAD)
    try:
        wait_until(lambda: server.process.poll() is not None, 30)
        assert server.process.returncode == 22
        assert "started threads (spinner of small)" in server.log
        assert "STACK_LAZY_APPS=on" in server.log
    finally:
        server.end()


def test_with_lazy_apps_each_worker_may_start_threads(tmp_path: Path) -> None:
    with serving(tmp_path, app=APP + THREAD, STACK_LAZY_APPS="on") as server:
        assert ask(server.port).startswith(b"1 ")
