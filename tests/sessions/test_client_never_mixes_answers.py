"""However a request ends, the next one never reads its reply. A dead name server delays nobody."""

import os
import signal
import socket
import threading
import time

import pytest
from flask import Flask

from app.redis_client import ReplyError, StoreUnavailable, connect
from app.redis_client.client import BUDGET
from tests.servers.fault_proxy import FaultProxy
from tests.sessions.pages import client_of


class Harakiri(BaseException):
    """An exception from outside, at any point, as uWSGI and gevent raise it."""


@pytest.fixture
def alarm():
    def ring(number, frame):
        raise Harakiri

    before = signal.signal(signal.SIGALRM, ring)
    yield lambda seconds: signal.setitimer(signal.ITIMER_REAL, seconds)
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def test_an_exception_in_the_middle_of_an_answer(redis, alarm):
    with FaultProxy(str(redis.socket)) as proxy:
        client = connect(proxy.url, redis.password)
        client.execute("SET", "post:one", "one")
        client.execute("SET", "post:two", "two")
        proxy.become("pass", delay=0.05)
        interrupted = 0
        for number in range(20):
            try:
                alarm(0.002 + number * 0.004)
                client.execute("GET", "post:one")
                alarm(0)
            except Harakiri:
                interrupted += 1
            assert client.execute("GET", "post:two") == b"two"
        assert interrupted > 0


def test_a_surplus_reply_closes_the_connection(redis):
    """The next command would read a surplus reply."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()

        def serve():
            connection, _ = listening.accept()
            connection.recv(100)
            connection.sendall(b"+mine\r\n+another's\r\n")
            connection.close()
            listening.close()

        thread = threading.Thread(target=serve)
        thread.start()
        client = connect(f"redis://127.0.0.1:{listening.getsockname()[1]}")
        with pytest.raises(StoreUnavailable):
            client.execute("GET", "a", retry=False)
        thread.join()


def test_an_error_leaves_the_connection_in_step(redis):
    client = client_of(redis)
    client.pipeline([("DEL", "post:list"), ("SET", "post:text", "a")])
    with pytest.raises(ReplyError, match="WRONGTYPE"):
        client.pipeline([("GET", "post:text"), ("LPUSH", "post:text", 1), ("GET", "post:text")])
    assert client.execute("GET", "post:text") == b"a"


def test_a_child_process_opens_a_connection_of_its_own(redis):
    client = client_of(redis)
    mine = client.execute("CLIENT", "ID")
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, str(client.execute("CLIENT", "ID")).encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert int(os.read(reading, 100)) != mine
    assert client.execute("CLIENT", "ID") == mine


def test_each_thread_has_one(redis):
    client = client_of(redis)
    ids = set()
    threads = [
        threading.Thread(target=lambda: ids.add(client.execute("CLIENT", "ID"))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ids) == 8


def test_a_name_server_that_does_not_answer(monkeypatch):
    def stalled(*arguments, **options):
        time.sleep(10)
        raise socket.gaierror("no answer")

    monkeypatch.setattr(socket, "getaddrinfo", stalled)
    client = connect("redis://redis.example:6379")

    def ping_in_a_request():
        with Flask("app").test_request_context(), pytest.raises(StoreUnavailable):
            client.execute("PING")

    # BUDGET is for waiting, the rest for a busy machine.
    start = time.monotonic()
    ping_in_a_request()
    assert time.monotonic() - start < 2 * BUDGET
    start = time.monotonic()
    for _ in range(20):
        ping_in_a_request()
    assert time.monotonic() - start < 1


def test_a_recreated_server_is_found_by_its_name(redis, monkeypatch):
    """A recreated container has another address."""
    with FaultProxy(str(redis.socket)) as first, FaultProxy(str(redis.socket)) as second:
        where = first
        original = socket.getaddrinfo

        def named(host, port, *arguments, **options):
            if host != "redis.example":
                return original(host, port, *arguments, **options)
            return original("127.0.0.1", where.port, *arguments, **options)

        monkeypatch.setattr(socket, "getaddrinfo", named)
        client = connect("redis://app@redis.example:1", redis.password)
        assert client.execute("PING") == b"PONG"
        first.become("refuse")
        where = second
        assert client.execute("PING") == b"PONG"


def test_a_broken_connection_is_used_again_only_where_that_is_harmless(redis):
    with FaultProxy(str(redis.socket)) as proxy:
        client = connect(proxy.url, redis.password)
        client.execute("DEL", "post:count")
        proxy.become("cut")
        with pytest.raises(StoreUnavailable):
            client.execute("INCR", "post:count", retry=False)
        assert client.execute("GET", "post:count") == b"1"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://user:secret@host", "scheme 'http' is not supported"),
        ("redis://user:secret@host:port", "port and database must be whole numbers"),
        ("redis://user:secret@host/x", "port and database must be whole numbers"),
        ("redis://user:secret@host?db=x", "port and database must be whole numbers"),
        ("redis://user:secret@host?timeout_ms=1", "unknown parameter 'timeout_ms'"),
        ("unix://user:secret@", "needs the path of a socket"),
    ],
)
def test_a_wrong_url_is_named_without_its_password(url, words):
    with pytest.raises(ValueError, match=words) as caught:
        connect(url)
    assert "secret" not in str(caught.value)
    assert "secret" not in repr(connect("redis://user:secret@host"))


@pytest.mark.parametrize(("retry", "times"), [(True, 2), (False, 1)])
def test_a_pipeline_that_has_run_in_part_is_sent_again_only_where_that_is_harmless(retry, times):
    """Redis answers one command, and is busy, or begins to follow another server, at the next."""
    answers = [b":1\r\n-BUSY Redis is busy running a script\r\n", b":2\r\n:2\r\n"]
    asked = []

    def serve(listening):
        for answer in answers:
            try:
                connection, _ = listening.accept()
            except OSError:  # nobody has come until the end of the test
                return
            with connection:
                asked.append(connection.recv(1024))
                connection.sendall(answer)
                connection.recv(1024)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = threading.Thread(target=serve, args=(listening,))
        server.start()
        client = connect(f"redis://127.0.0.1:{listening.getsockname()[1]}")
        pipeline = [("INCR", "post:count"), ("INCR", "post:others")]
        if retry:
            assert client.pipeline(pipeline) == [2, 2]
        else:
            with pytest.raises(StoreUnavailable, match="BUSY"):
                client.pipeline(pipeline, retry=False)
        client.close()
        # Otherwise the thread would accept connections of other tests.
        listening.shutdown(socket.SHUT_RDWR)
        server.join()
    assert len(asked) == times
