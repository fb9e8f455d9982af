"""With every server clients get the same answers and the app gets the same requests."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.measure.running_arm import SERVERS, RunningArm
from lab.plan.arms import ArmSpec
from lab.tests.running_arms import MIRROR, NEEDS, PROTECTED, arms, ask
from tests.waiting import wait_until_steady

pytestmark = pytest.mark.long

OTHERS = [name for name in SERVERS if name != "uwsgi"]

FORGED = {
    "X-Forwarded-For": "6.6.6.6",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "evil.example",
    "X-Real-IP": "6.6.6.6",
    "Proxy": "http://evil.example",
    "X-Own": "mine",
    "Cookie": "a=b; c=d",
}

# Requests that servers may handle differently: bodies, their ends, errors, names.
REQUESTS: dict[str, tuple[str, str, bytes | None, dict[str, str]]] = {
    "query": ("GET", "/mirror/?a=1&b=%20c&%C3%A9=", None, {}),
    "forged headers": ("GET", "/mirror/", None, FORGED),
    "host with a port": ("GET", "/mirror/", None, {"Host": "Example.org:81"}),
    "large upload": ("POST", "/mirror/", bytes(range(256)) * 4000, {"Content-Type": "a/b"}),
    "empty upload": ("PUT", "/mirror/", b"", {}),
    "upload that is not read": ("POST", "/mirror/refuses", b"y" * 900_000, {}),
    "too large an upload": ("POST", "/mirror/", b"z" * 1_100_000, {}),
    "every byte": ("GET", "/mirror/bytes", None, {}),
    "only its head": ("HEAD", "/mirror/bytes", None, {}),
    "a response without a length": ("GET", "/mirror/stream", None, {}),
    "no content": ("GET", "/mirror/nothing", None, {}),
    "a redirection": ("GET", "/mirror/elsewhere", None, {}),
    "an exception": ("GET", "/mirror/fails", None, {}),
    "an unknown path": ("GET", "/nowhere", None, {}),
    "a path in UTF-8": ("GET", "/mirror/%C3%A9", None, {}),
    "the front page": ("GET", "/", None, {}),
}


@pytest.fixture(scope="module")
def running() -> Iterator[dict[str, RunningArm]]:
    specs = [ArmSpec(name, MIRROR | NEEDS.get(name, {}), server=name) for name in SERVERS]
    with arms(specs) as started:
        yield started


def seen_by_a_client(arm: RunningArm, what: str) -> tuple[int, list[str], bytes]:
    """Status, names of headers, and the body without its random parts."""
    method, path, body, headers = REQUESTS[what]
    answer, text = ask(arm, path, method=method, body=body, headers=headers)
    port = arm.address.rpartition(":")[2].encode()
    same = re.sub(rb"\b[0-9a-f]{32}\b", b"ID", text.replace(b":" + port, b":PORT"))
    # uwsgi/answers.py adds a Content-Length to short answers, HTTP servers send them chunked.
    framing = {"content-length", "transfer-encoding"}
    names = sorted({name.lower() for name in answer.headers} - framing)
    return answer.status, names, same


@pytest.mark.parametrize("server", OTHERS)
@pytest.mark.parametrize("what", REQUESTS)
def test_the_answer_is_the_same(running: dict[str, RunningArm], server: str, what: str) -> None:
    assert seen_by_a_client(running[server], what) == seen_by_a_client(running["uwsgi"], what)


@pytest.mark.parametrize("server", SERVERS)
def test_the_app_trusts_nginx_and_not_the_client(
    running: dict[str, RunningArm], server: str
) -> None:
    arm = running[server]
    _, text = ask(arm, "/mirror/?x", headers=FORGED)
    seen: dict[str, Any] = json.loads(text)
    assert seen["url"] == f"{arm.address}/mirror/?x"
    assert (seen["address"], seen["scheme"]) == ("127.0.0.1", "http")
    assert seen["told"] == {
        "X-Forwarded-For": "127.0.0.1",
        "X-Forwarded-Proto": "http",
        "X-Real-IP": "127.0.0.1",
        "X-Forwarded-Host": None,
        "Proxy": None,
        "X-Own": "mine",
    }


@pytest.mark.parametrize("server", SERVERS)
def test_a_login_is_served(running: dict[str, RunningArm], server: str) -> None:
    arm = running[server]
    answer, text = ask(arm, PROTECTED, headers={"Cookie": arm.cookie})
    assert answer.status == 200
    assert re.fullmatch(rb'\{"name":"demo","user":"[0-9a-f]{32}"\}\n', text)
    assert ask(arm, PROTECTED)[0].status != 200


@pytest.mark.parametrize("server", SERVERS)
def test_it_runs_what_was_asked(running: dict[str, RunningArm], server: str) -> None:
    arm = running[server]
    processes, threads = SERVERS[server].workers_and_threads(MIRROR)
    assert arm.wrong_options == []
    assert len(arm.workers()) == processes
    assert set(arm.workers()) <= set(arm.pids()["app"])
    assert threads is None or arm.slots == processes * threads == 4


@pytest.mark.parametrize("server", SERVERS)
def test_connections_to_nginx_are_kept_as_stated(
    running: dict[str, RunningArm], server: str
) -> None:
    arm = running[server]
    for _ in range(3):
        assert ask(arm, "/workload/bare")[0].status == 200
    # A connection that is not kept may be open for a moment after its answer.
    kept = wait_until_steady(lambda: open_towards(run_directory(arm))) > 0
    assert kept == SERVERS[server].keep_alive.startswith(("yes", "nginx to router: yes"))


def run_directory(arm: RunningArm) -> Path:
    # Only the master's title has the arguments. It need not have the smallest pid.
    titles = (Path(f"/proc/{pid}/cmdline").read_text() for pid in arm.pids()["nginx"])
    (run,) = (found[1] for title in titles if (found := re.search(r"-p[ \0](\S+?)[ \0]", title)))
    return Path(run)


def open_towards(run: Path) -> int:
    """The number of open connections from the nginx of this directory to its app."""
    configured = (run / "conf" / "rendered" / "app.conf").read_text()
    port = re.search(r"default 127\.0\.0\.1:(\d+);", configured)
    path = re.search(r"default unix:(\S+);", configured)
    assert port is not None
    tcp = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    unix = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()[1:]]
    return sum(row[2].endswith(f":{int(port[1]):04X}") and row[3] == "01" for row in tcp) + sum(
        path is not None and row[5] == "03" and row[7:] == [path[1]] for row in unix
    )
