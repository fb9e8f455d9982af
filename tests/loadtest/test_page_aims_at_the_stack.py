"""Without a profile Locust's own page opens, for the stack and nothing else."""

import json
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from stack import ports
from stack.checkout import CHECKOUT
from tests.loadtest.stand_in import StandIn, serving, start
from tests.stack.checkouts import answers
from tests.waiting import wait_until

pytestmark = pytest.mark.waits


@contextmanager
def page(url: str) -> Iterator[str]:
    port = ports.free()
    process = start("--host", url, "--web-port", str(port))
    assert process.stdout
    line = process.stdout.readline()
    assert f"http://127.0.0.1:{port}  (loads {url}" in line
    address = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: answers(address), 30)
        yield address
    finally:
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=120)
        assert process.returncode == 0, err


def swarm(address: str, **form: str) -> None:
    data = urllib.parse.urlencode({"user_count": "2", "spawn_rate": "10", **form}).encode()
    urllib.request.urlopen(f"{address}/swarm", data=data).close()


def test_the_page_loads_the_stack() -> None:
    app = StandIn()
    with serving(app) as url, page(address_of := url) as address:
        with urllib.request.urlopen(address) as answer:
            html = answer.read().decode()
        assert address_of in html
        swarm(address, user_count="6", host=url)
        wait_until(lambda: len(app.statuses("GET /$")) >= 12, 20)
        with urllib.request.urlopen(f"{address}/stats/requests") as answer:
            stats = json.load(answer)
    assert stats["total_fail_per_sec"] == 0
    # Users with think time, not those of the profiles smoke and soak.
    assert stats["total_rps"] < 30


def test_the_page_preselects_users_with_think_time_and_the_terminal_explains_them() -> None:
    with serving(StandIn()) as url:
        port = ports.free()
        # A stray variable of the shell, which Locust would read as an option.
        process = start("--host", url, "--web-port", str(port), LOCUST_RUN_TIME="1s")
        wait_until(lambda: answers(f"http://127.0.0.1:{port}"), 30)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}") as answer:
            html = answer.read().decode()
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert '"available_user_classes": ["Author", "Member", "Visitor"]' in html
    assert '"num_users": 20' in html
    assert '"run_time": null' in html
    assert "  Visitor Reads the public pages and never logs in." in out


def test_the_page_cannot_be_turned_against_others() -> None:
    app = StandIn()
    with serving(app) as url, page(url) as address:
        swarm(address, host="http://192.0.2.1:80")
        time.sleep(3)
        with urllib.request.urlopen(f"{address}/stats/requests") as answer:
            stats = json.load(answer)
    assert stats["user_count"] == 0
    assert stats["stats"][-1]["num_requests"] == 0


INTERRUPTED = """
import os, signal
import gevent
from types import SimpleNamespace as Of
from loadtest import headless

options = Of(headless=False, master=False, worker=False)
headless.begin(Of(parsed_options=options, user_classes=[]))

def swallow():
    try:
        os.kill(os.getpid(), signal.SIGINT)
    except KeyboardInterrupt:
        pass

gevent.spawn(swallow)
try:
    gevent.sleep(10)
except KeyboardInterrupt:
    print("ends")
"""


def test_ctrl_c_ends_the_page_even_if_what_runs_swallows_it() -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED],
        cwd=CHECKOUT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == "ends\n"
