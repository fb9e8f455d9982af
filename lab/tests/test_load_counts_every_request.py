"""The generator's counts of requests and failures agree with the server's."""

import socket
from pathlib import Path

import pytest

from lab.measure import load
from lab.tests.slow_server import BODY, Answer, Server, ignore, serving


def test_a_closed_loop_sends_the_exact_number_of_requests(tmp_path: Path) -> None:
    lines: list[str] = []
    with serving(
        Server(per_connection=10)
    ) as server:  # nginx ends connections after a number of requests as well
        result = load.closed(
            server.target(),
            users=7,
            seconds=None,
            requests=333,
            warm_s=0,
            seed=1,
            folder=tmp_path,
            progress=lines.append,
        )
    assert len(server.log) == 1 + 333  # the first one gets the expected answer
    assert (result.intended, result.sent, result.done) == (333, 333, 333)
    assert (result.dropped, result.errors, result.wrong, result.faults) == (0, 0, 0, [])
    assert result.response.count == result.service.count == 333
    assert result.users == 7
    assert 33 < server.connections < 60
    assert "measuring" in lines


def test_a_closed_loop_obeys_littles_law_and_excludes_its_warm_up(tmp_path: Path) -> None:
    with serving(Server(delay_s=0.02)) as server:
        result = load.closed(
            server.target(),
            users=4,
            seconds=1.0,
            requests=None,
            warm_s=0.5,
            seed=1,
            folder=tmp_path,
            progress=ignore,
        )
    assert 0 < result.done < len(server.log) - 10  # 4 users send more than 10 in half a second
    assert 0.7 < result.seconds < 5
    in_flight = result.done / result.seconds * result.response.mean_ms / 1000
    assert in_flight == pytest.approx(4, rel=0.15)
    assert 0 < result.generator_cpu <= 1.05
    assert result.used.cpu_ns["app"] > 0
    assert result.used.voluntary["app"] >= result.done
    assert result.used.clock == pytest.approx(result.seconds, rel=0.2)


def test_errors_and_wrong_bodies_are_counted_separately(tmp_path: Path) -> None:
    def answer(path: str, number: int) -> Answer:
        if number % 10 == 5:
            return 502, b"oops"
        if number % 10 == 7:
            return 0, b""
        return (200, b"somebody else's page") if number % 10 == 9 else (200, BODY)

    with serving(Server(answer)) as server:
        result = load.closed(
            server.target(),
            users=3,
            seconds=None,
            requests=199,  # 200 with the first one, so 20 of each kind
            warm_s=0,
            seed=1,
            folder=tmp_path,
            progress=ignore,
        )
    assert len(server.log) == 200  # interrupted requests are not repeated
    assert (result.sent, result.done) == (199, 179)
    assert (result.errors, result.wrong) == (40, 20)
    assert result.response.count == 159
    assert len(result.faults) == 3
    assert "20 x 502 Bad Gateway" in result.faults
    (cut,) = [fault for fault in result.faults if "closed before the answer" in fault]
    assert cut.startswith("20 x ")
    (wrong,) = [fault for fault in result.faults if "somebody else's page" in fault]
    assert wrong.startswith("20 x not the first answer's body")


def test_an_expected_text_replaces_the_first_answer(tmp_path: Path) -> None:
    def answer(path: str, number: int) -> Answer:
        return 200, b"request %d of the shop" % number if number % 10 else b"closed"

    with serving(Server(answer)) as server:
        result = load.closed(
            server.target(expect="of the shop"),
            users=1,
            seconds=None,
            requests=49,
            warm_s=0,
            seed=1,
            folder=tmp_path,
            progress=ignore,
        )
    assert (result.errors, result.wrong) == (0, 5)


def test_a_closed_idle_connection_is_no_error(tmp_path: Path) -> None:
    """Only a request that was sent can fail."""
    with serving(Server(idle_s=0.7)) as server:
        result = load.open_loop(
            server.target(),
            rate=1.5,
            seconds=4,
            warm_s=0,
            seed=3,
            folder=tmp_path,
            progress=ignore,
        )
    assert server.connections > 2  # one for the first answer, and several of the user
    assert result.errors == 0
    assert result.done == result.intended > 2


def test_an_arm_with_a_wrong_first_answer_is_not_loaded(tmp_path: Path) -> None:
    with (
        serving(Server(lambda path, number: (302, b""))) as server,
        pytest.raises(load.LoadError, match=f"arm answers 302 Found at {server.address}/arm"),
    ):
        load.closed(
            server.target(),
            users=1,
            seconds=1,
            requests=None,
            warm_s=0,
            seed=1,
            folder=tmp_path,
            progress=ignore,
        )
    assert len(server.log) == 1


def test_an_arm_that_does_not_answer_is_named(tmp_path: Path) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        target = load.Target("arm", f"http://127.0.0.1:{nobody.getsockname()[1]}", "/")
        with pytest.raises(load.LoadError, match=r"arm does not answer .*: connection refused"):
            load.rotate(
                [target],
                users=1,
                rounds=1,
                slice=1,
                seed=1,
                folder=tmp_path,
                progress=ignore,
            )


def test_a_server_that_hangs_ends_the_closed_loop(tmp_path: Path) -> None:
    with serving(Server()) as server:

        def progress(line: str) -> None:
            if line == "measuring":
                server.gate.clear()

        with pytest.raises(load.LoadError, match=r"arm hangs: \d+ requests had no answer within"):
            load.closed(
                server.target(),
                users=2,
                seconds=None,
                requests=1_000_000,
                warm_s=0,
                seed=1,
                folder=tmp_path,
                progress=progress,
                patience_s=0.3,
            )
