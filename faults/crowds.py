"""Faults that clients bring: slow ones, storms of connections, floods of logins, a huge upload.

A crowd of slow clients has an address for each hundred of them, so that no limit of one address
stops it.
"""

from __future__ import annotations

import contextlib
import http.client
import re
import resource
import select
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from urllib.parse import urlencode

from faults.fault import Fault
from faults.stage import Stage
from faults.users import connect, port_of

CROWD = 1000
# More than the 4,096 connections that nginx can have (worker_connections of both workers).
LARGE_CROWD = 4100
# Open files that this process needs besides.
SPARE = 500
ADDRESSES = [f"198.51.100.{number}" for number in range(1, 11)]


def head(method: str, path: str, number: int, *more: str) -> bytes:
    client = f"X-Forwarded-For: 198.51.100.{1 + number // 100}"
    return "\r\n".join((f"{method} {path} HTTP/1.1", "Host: localhost", client, *more)).encode()


def slow_headers(number: int) -> bytes:
    return head("GET", "/", number)


def slow_body(number: int) -> bytes:
    return head("POST", "/faults/mark", number, "Content-Length: 9000", "", "x=1")


def slow_upload(number: int) -> bytes:
    """Nine of ten send as much as nginx writes into a file; the tenth nearly the whole body."""
    size = 899_000 if number % 10 == 0 else 65_000
    return head("POST", "/faults/mark", number, "Content-Length: 900000", "", "x" * size)


def slow_reader(number: int) -> bytes:
    return head("GET", "/faults/large", number, "", "")


def crowd(
    message: Callable[[int], bytes], size: int
) -> Callable[[Stage], AbstractContextManager[None]]:
    """Open *size* connections, send *message* on each, and do nothing more."""

    @contextmanager
    def strike(stage: Stage) -> Iterator[None]:
        _allow_descriptors(size + SPARE)
        entrance = port_of(stage.entrance())
        with ExitStack() as opened:
            sockets = []
            for number in range(size):
                with contextlib.suppress(OSError):
                    connection = socket.socket()
                    # Little is read ahead for a reader who does not read.
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                    connection.settimeout(20)
                    opened.enter_context(connection)
                    connection.connect(entrance)
                    connection.sendall(message(number))
                    sockets.append(connection)
            stage.notes.append(f"{len(sockets)} slow clients connected")
            yield
            answers = Counter(map(_answer, sockets))
        said = ", ".join(f"{number} {answer}" for answer, number in answers.most_common())
        stage.notes.append(f"of the slow clients at the end: {said}")

    return strike


def _allow_descriptors(number: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < number <= hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (number, hard))


def few_descriptors(_kind: str) -> str | None:
    """Return why this process cannot have LARGE_CROWD connections, or None."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard < LARGE_CROWD + SPARE:
        return (
            f"a process may have {hard} open files (ulimit -Hn), and it needs {LARGE_CROWD + SPARE}"
        )
    return None


def _answer(connection: socket.socket) -> str:
    connection.setblocking(False)
    try:
        begin = connection.recv(12, socket.MSG_PEEK)
    except BlockingIOError:
        return "wait"
    except OSError:
        return "were reset"
    return f"got {begin[9:].decode(errors='replace')}" if begin else "were closed"


@contextmanager
def _crowd(work: Callable[[int], None], size: int, done: threading.Event) -> Iterator[None]:
    """Run *work* with each number below *size* in a thread; set *done* and wait at the end."""
    threads = [threading.Thread(target=work, args=[number]) for number in range(size)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        done.set()
        for thread in threads:
            thread.join()


@contextmanager
def storm(stage: Stage) -> Iterator[None]:
    """Open and drop connections as fast as four threads can."""
    entrance = stage.entrance()
    done = threading.Event()
    counts = Counter[str]()

    def connect_and_drop(_number: int) -> None:
        while not done.is_set():
            try:
                connect(entrance, timeout=5).close()
                counts["opened"] += 1
            except OSError:
                counts["refused"] += 1

    with _crowd(connect_and_drop, 4, done):
        yield
    stage.notes.append(f"{counts['opened']} connections opened, {counts['refused']} refused")


@contextmanager
def login_flood(stage: Stage) -> Iterator[None]:
    """Try wrong passwords from ten addresses, twelve tries at a time, without a pause."""
    done = threading.Event()
    counts = Counter[str]()

    def flood(number: int) -> None:
        client = {"X-Forwarded-For": ADDRESSES[number % len(ADDRESSES)]}
        host = ":".join(map(str, port_of(stage.address)))
        with contextlib.closing(http.client.HTTPConnection(host, timeout=60)) as connection:
            connection.request("GET", "/auth/login", headers=client)
            page = connection.getresponse()
            token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page.read().decode())
            if token is None:
                counts["no form"] += 1
                return
            cookie = (page.getheader("Set-Cookie") or "").partition(";")[0]
            kind = {"Cookie": cookie, "Content-Type": "application/x-www-form-urlencoded"}
            tries = 0
            while not done.wait(0.02):
                tries += 1
                fields = {
                    "name": f"nobody-{number}-{tries}",
                    "password": "wrong",
                    "csrf_token": token[1],
                }
                connection.request("POST", "/auth/login", urlencode(fields), {**client, **kind})
                answer = connection.getresponse()
                answer.read()
                counts[str(answer.status)] += 1

    def flooding(number: int) -> None:
        while not done.is_set():
            with contextlib.suppress(OSError, http.client.HTTPException):
                flood(number)

    with _crowd(flooding, 12, done):
        yield
    said = ", ".join(f"{number} with {status}" for status, number in counts.most_common())
    stage.notes.append(f"answers to the flood: {said}")


@contextmanager
def huge_upload(stage: Stage) -> Iterator[None]:
    """Send 10 GB, once with its length in the header and once in chunks without one."""
    yield
    for kind, header in (
        ("with a length", f"Content-Length: {10 << 30}"),
        ("in chunks", "Transfer-Encoding: chunked"),
    ):
        block = b"x" * 65536
        if kind == "in chunks":
            block = b"%x\r\n" % len(block) + block + b"\r\n"
        sent, refused, begun = 0, 0, time.monotonic()
        status, waited = "no answer", 0.0
        with connect(stage.address) as connection:
            connection.sendall(head("POST", "/faults/mark", 0, header, "", ""))
            # nginx answers at once, and then discards for up to 30 s what a client still sends.
            with contextlib.suppress(OSError):  # nginx has closed the connection
                while sent < 10 << 30 and time.monotonic() - begun < 60:
                    sent += connection.send(block)
                    if not refused and select.select([connection], [], [], 0)[0]:
                        status = connection.recv(12)[9:].decode()
                        refused, waited = sent, time.monotonic() - begun
        took = time.monotonic() - begun
        stage.notes.append(
            f"{kind}: {status} after {refused / 1e6:.1f} MB and {waited:.2f} s, closed after "
            f"{took:.0f} s"
        )


# What they do, their message, the rule that fires, and the bound of the row in seconds.
SLOW = {
    "slow-headers": ("send half of a header", slow_headers, "none: no request fails", 10),
    "slow-body": ("send 3 of 9,000 bytes of a body", slow_body, "none: no request fails", 10),
    # Ten seconds after they came, no thread was busy.
    "slow-reader": (
        "ask for 1 MiB each and read nothing",
        slow_reader,
        "none: within seconds nginx and the kernel hold all answers",
        60,
    ),
}

# Lines of nginx's log.
FULL = "worker_connections are not enough"
REFUSED = r'"status": ?"?429'
REFUSED_OR_QUEUE_FULL = r'"status": ?"?(?:429|503)'
# By the message of a large crowd: what one sees in the log, and the alert.
SIGNS = {
    slow_headers: (FULL, "NginxDown"),
    slow_body: (REFUSED, "RequestsRefused"),
    # The faster the machine, the more of them are in uWSGI's queue before nginx has 1,280.
    slow_reader: (REFUSED_OR_QUEUE_FULL, "ServerErrors"),
}

FAULTS = (
    *(
        Fault(
            name,
            f"{CROWD} clients {what}",
            crowd(message, CROWD),
            ("", ""),
            alert,
            hold_s=8,
            within_s=within,
        )
        for name, (what, message, alert, within) in SLOW.items()
    ),
    *(
        Fault(
            f"{name}-{LARGE_CROWD}",
            f"{LARGE_CROWD} clients {what}",
            crowd(message, LARGE_CROWD),
            ("nginx", SIGNS[message][0]),
            SIGNS[message][1],
            hold_s=15,
            within_s=60,
            missing=few_descriptors,
            on_request=True,
        )
        for name, (what, message, _, _) in SLOW.items()
    ),
    Fault(
        "slow-upload",
        f"{CROWD} clients send a part of 900 kB: 65 kB, and each tenth 899 kB",
        crowd(slow_upload, CROWD),
        ("", ""),
        "none: no request fails",
        hold_s=8,
        on_request=True,
    ),
    Fault(
        "connections",
        "four threads open and drop connections without a pause, for 5 s",
        storm,
        ("", ""),
        "none: no request fails",
        hold_s=5,
    ),
    Fault(
        "login-flood",
        "twelve clients on ten addresses try passwords without a pause, for 10 s",
        login_flood,
        ("nginx", REFUSED),
        "LoginsRefused",
        hold_s=10,
    ),
    Fault(
        "upload",
        "an upload of 10 GB, with its length and in chunks",
        huge_upload,
        ("nginx", r'"status": ?"?413|client intended to send too large'),
        "none: nginx refuses it at once",
    ),
)
