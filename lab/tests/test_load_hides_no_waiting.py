"""The open loop shows what clients wait when the server or the generator stands still.

A closed loop cannot: who waits for an answer sends nothing meanwhile, so one slow request stands
for all that would have come (coordinated omission).
"""

import signal
import threading
import time
from pathlib import Path

import psutil

from lab.measure import load
from lab.tests.slow_server import BODY, Answer, Server, ignore, serving

STALL_S = 0.8


def test_the_open_loop_shows_a_stall_in_every_request_that_was_due(tmp_path: Path) -> None:
    with (
        serving(Server()) as server,
        load.OpenLoop(
            server.target(),
            rate=100,
            seconds=2,
            warm_s=0.3,
            seed=1,
            folder=tmp_path,
            progress=ignore,
        ) as loop,
    ):
        loop.start()
        time.sleep(0.5)
        server.stand_still(STALL_S)
        result = loop.wait()
    assert (result.errors, result.wrong, result.dropped) == (0, 0, 0)
    assert result.intended == result.done
    # Two fifths of the arrivals are in the stall and wait half of it on average.
    assert result.response.percentile(90) > 400
    assert result.response.percentile(70) > 50
    assert result.longest_wait_ms > 700


def test_the_closed_loop_hides_the_same_stall(tmp_path: Path) -> None:
    with serving(Server(delay_s=0.01)) as server:
        stall = threading.Timer(0.5, server.stand_still, [STALL_S])

        def progress(line: str) -> None:
            if line == "measuring":
                stall.start()

        result = load.closed(
            server.target(),
            users=1,
            seconds=2,
            requests=None,
            warm_s=0,
            seed=1,
            folder=tmp_path,
            progress=progress,
        )
        stall.join()
    assert result.longest_wait_ms > 700  # one request includes it
    assert result.response.percentile(90) < 400  # and no percentile does
    assert result.response.encode() == result.service.encode()


def test_the_generators_own_delay_is_in_the_response_and_not_in_the_service(
    tmp_path: Path,
) -> None:
    with (
        serving(Server()) as server,
        load.OpenLoop(
            server.target(),
            rate=50,
            seconds=1.5,
            warm_s=0,
            seed=2,
            folder=tmp_path,
            progress=ignore,
        ) as loop,
    ):
        loop.start()
        (locust,) = [
            process
            for process in psutil.Process().children()
            if "loadtest.plain_locust" in process.cmdline()
            and str(tmp_path) in process.environ()["LAB_LOAD_PLAN"]
        ]
        time.sleep(0.3)
        locust.send_signal(signal.SIGSTOP)
        time.sleep(STALL_S)
        locust.send_signal(signal.SIGCONT)
        result = loop.wait()
    assert result.dropped == 0
    assert result.lag.max_ms > 500
    assert result.lag.percentile(75) > 100
    assert result.response.percentile(75) > 100
    assert result.service.percentile(75) < 0.5 * result.response.percentile(75)
    assert result.response.max_ms >= result.lag.max_ms * 0.999


def test_arrivals_at_a_server_that_hangs_are_dropped_and_counted(tmp_path: Path) -> None:
    with (
        serving(Server()) as server,
        load.OpenLoop(
            server.target(),
            rate=60,
            seconds=1,
            warm_s=0,
            seed=1,
            folder=tmp_path,
            progress=ignore,
            in_flight=5,
            patience_s=1.5,
        ) as loop,
    ):
        loop.start()
        server.gate.clear()
        result = loop.wait()
    assert result.intended > 30
    assert result.dropped > 20
    assert result.sent == result.intended - result.dropped  # none was queued
    assert result.errors == 5  # the limit of requests in flight
    assert result.done == result.sent - 5
    assert result.faults == ["5 x no answer within 1.5 s"]
    assert result.longest_wait_ms > 1400


def test_failures_during_a_restart_are_counted_with_their_text(tmp_path: Path) -> None:
    away = threading.Event()

    def answer(path: str, number: int) -> Answer:
        return (502, b"") if away.is_set() else (200, BODY)

    with (
        serving(Server(answer)) as server,
        load.OpenLoop(
            server.target(),
            rate=100,
            seconds=30,
            warm_s=0,
            seed=1,
            folder=tmp_path,
            progress=ignore,
        ) as loop,
    ):
        loop.start()
        time.sleep(0.3)
        away.set()
        time.sleep(0.3)
        away.clear()
        loop.finish()
        result = loop.wait()
    assert result.errors == server.statuses.count(502) > 0
    assert result.faults == [f"{result.errors} x 502 Bad Gateway"]
    assert result.done == result.sent == result.intended
    assert 0.5 < result.seconds < 20  # ended by finish()
