"""Requests of one's own, and those of nginx's log: read, sent in their order, and checked."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from lab.measure import load, login_cookie, own_locustfile
from lab.measure.load import Target
from lab.plan.arms import LoginForm
from lab.plan.experiment_file import ExperimentError, parse
from lab.plan.traffic import MASKS, Request, Traffic, masks, of_log, shorten_log

TOML = """\
question = "Does it?"
primary  = { metric = "cpu_us", load = "visits" }
baseline = "one"
canary   = "burn_5%"
login    = { page = "/login", form = { name = "user{n}", password = "x" }, users = 3 }
[traffic.visits]
csrf = "/form"
requests = [
  { path = "/a?x=1", weight = 3 },
  { path = "/item/17", method = "POST", form = { a = "b c", csrf_token = "{csrf}" }, status = 303 },
]
[loads]
visits = { kind = "rotation", traffic = "visits", rounds = 9 }
[arms]
one = { STACK_PROCESSES = 1 }
two = { STACK_PROCESSES = 2 }
"""


def line(second: int, path: str, method: str = "GET") -> str:
    return json.dumps(
        {
            "time": f"2026-11-26T10:00:{second:02}+00:00",
            "client": "192.0.2.1",
            "method": method,
            "path": path,
            "seconds": 0.004,
        }
    )


LOG = "\n".join(
    ["nginx/entrypoint: published", line(1, "/a"), line(1, "/b"), line(2, "/c", "POST"),
     line(3, "/a"), line(3, "/d")]
)  # fmt: skip


def test_a_file_with_traffic_gets_a_load_for_each_route() -> None:
    experiment = parse(TOML, "x.toml")
    assert [(one.name, one.rounds) for one in experiment.loads] == [
        ("visits", 9),
        ("visits: GET /a", 3),
        ("visits: POST /item/{id}", 3),
    ]
    assert experiment.arm("two").login == LoginForm(
        "/login", {"name": "user{n}", "password": "x"}, 3
    )


@pytest.mark.parametrize(
    ("right", "wrong", "number", "said"),
    [
        ('traffic = "visits", r', 'traffic = "visit", r', 13, "not a valid traffic, did you mean"),
        ('traffic = "visits", r', 'traffic = "no.log", r', 13, "traffic = 'no.log': [Errno 2]"),
        ('"/a?x=1"', '"a"', 8, "path = 'a': must be a path that begins with \"/\""),
        ("weight = 3", "weight = 0", 8, "weight = 0: must be a whole number from 1 to 100"),
        ("weight = 3", 'check = "all"', 8, "'all' is not a valid check"),
        ("weight = 3", "wait = 3", 8, "'wait' is not a valid key"),
        ("form = { a", "json = 3, form = { a", 8, "body, form and json: one of them"),
        ('csrf = "/form"', 'mask = ["("]', 7, "mask: '(' is no expression"),
        ('traffic = "visits", r', 'locustfile = "x.py", r', 13, "'locustfile' is not a valid key"),
        ("users = 3", "users = 0", 5, "users = 0: must be a whole number from 1"),
        ('page = "/login", ', "", 5, "page is missing"),
    ],
)
def test_faults_of_traffic_have_a_line(right: str, wrong: str, number: int, said: str) -> None:
    assert right in TOML
    with pytest.raises(ExperimentError) as raised:
        parse(TOML.replace(right, wrong, 1), "x.toml")
    assert f"x.toml, line {number}: " in str(raised.value)
    assert said in str(raised.value)


def test_the_mix_of_every_part_of_the_order_is_the_same() -> None:
    traffic = Traffic((Request("/a", weight=4), Request("/b")))
    order = traffic.order(1)
    assert {order[i : i + 5].count(1) for i in range(0, len(order), 5)} == {1}
    assert order == traffic.order(1) != traffic.order(2)


def test_a_log_gives_methods_paths_and_moments_and_only_safe_methods() -> None:
    traffic = of_log(LOG)
    assert [(one.method, one.path) for one in traffic.requests] == [
        ("GET", "/a"), ("GET", "/b"), ("GET", "/a"), ("GET", "/d"),
    ]  # fmt: skip
    assert traffic.moments == (0.0, 0.5, 2.0, 2.5)
    assert traffic.order(0) == [0, 1, 2, 3]
    assert len(of_log(LOG, unsafe=True).requests) == 5
    with pytest.raises(ValueError, match="line 1 is not one of nginx's JSON log"):
        of_log('{"time": 3}')
    with pytest.raises(ValueError, match="fewer than two"):
        of_log(line(1, "/a", "POST"))


def test_a_run_keeps_the_log_without_clients_and_can_be_read_without_it(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    log.write_text(LOG, encoding="utf-8")
    text = TOML.replace('traffic = "visits", r', f'traffic = "{log}", r')
    experiment = parse(text, "x.toml")
    log.unlink()
    again = parse(text, "x.toml", experiment.files)
    assert again.loads == experiment.loads
    assert "192.0.2.1" not in experiment.files[str(log)] == shorten_log(LOG)


class Handler(BaseHTTPRequestHandler):
    """Keeps what it gets. Pages hold a token, a date and an identifier that vary."""

    protocol_version = "HTTP/1.1"
    seen: list[tuple[str, str, str, str]]
    count = 0

    def do_GET(self) -> None:
        type(self).count += 1
        token = f"IjEyMzQ1Njc4OTAi.aSb{self.count:03}.{'x' * 27}"
        page = f'<form><input name="csrf_token" value="{token}"></form>'
        self.answer(200, page + f" at 10:00:{self.count % 60:02}, request {self.count:032x}")

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "5")
        self.end_headers()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.seen.append((self.path, self.headers["Cookie"] or "", body, ""))
        self.answer(303, "")

    def answer(self, status: int, text: str) -> None:
        self.send_response(status)
        if self.path == "/login":
            self.send_header("Set-Cookie", f"session={len(self.seen)}; Path=/")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        """Log nothing."""


LOCUSTFILE = """\
from locust import HttpUser, constant, task
class Visitor(HttpUser):
    wait_time = constant(0.02)
    @task
    def visit(self):
        self.client.get("/page")
        self.client.post("/buy", data={"n": "1"}, allow_redirects=False)
"""


@pytest.fixture
def server() -> Iterator[tuple[str, list[tuple[str, str, str, str]]]]:
    seen: list[tuple[str, str, str, str]] = []
    handler = type("Own", (Handler,), {"seen": seen})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as one:
        threading.Thread(target=one.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{one.server_port}", seen
        one.shutdown()


def test_users_log_in_and_requests_carry_session_token_and_body(
    server: tuple[str, list[tuple[str, str, str, str]]], tmp_path: Path
) -> None:
    address, seen = server
    login = LoginForm("/login", {"name": "user{n}", "password": "x"}, 2)
    cookies = [login_cookie.of_form(address, login, n) for n in (1, 2)]
    assert cookies == ["session=1", "session=2"]
    assert [body.partition("&")[0] for _, _, body, _ in seen] == ["name=user1", "name=user2"]
    seen.clear()
    traffic = Traffic(
        (
            Request("/page"),
            Request("/page", method="HEAD"),
            Request("/buy", method="POST", form={"n": "1 2", "csrf_token": "{csrf}"}, status=303),
        ),
        csrf="/page",
    )
    sessions = login_cookie.sessions(address, cookies, traffic.csrf)
    assert len({one["csrf"] for one in sessions}) == 2

    def target(names: tuple[str, ...]) -> Target:
        return Target(
            "one", address, "/page", requests=[one.to_plan() for one in traffic.requests],
            order=traffic.order(1), masks=masks(names), sessions=sessions,
        )  # fmt: skip

    def found(names: tuple[str, ...]) -> load.LoadResult:
        return load.closed(
            target(names), users=1, seconds=None, requests=60, warm_s=0.0, seed=1,
            folder=tmp_path, progress=lambda _: None,
        )  # fmt: skip

    result = found(tuple(MASKS))
    assert (result.done, result.errors, result.wrong, result.faults) == (60, 0, 0, [])
    assert list(result.answers) == ["GET /page", "HEAD /page"]
    assert {cookie for _, cookie, _, _ in seen} == set(cookies)
    tokens = {one["cookie"]: one["csrf"] for one in sessions}
    assert all(body == f"n=1+2&csrf_token={tokens[cookie]}" for _, cookie, body, _ in seen)
    assert found(()).wrong == 20 - 1  # without masks all but the second user's first


def test_a_locust_file_of_ones_own_is_run_and_counted(
    server: tuple[str, list[tuple[str, str, str, str]]], tmp_path: Path
) -> None:
    address, seen = server
    file = tmp_path / "load.py"
    file.write_text(LOCUSTFILE, encoding="utf-8")
    target = Target("one", address, "/", pids={"app": [os.getpid()]})

    def found(path: Path) -> load.LoadResult:
        return own_locustfile.run(
            target, str(path), users=2, seconds=1, folder=tmp_path, progress=lambda _: None
        )

    result = found(file)
    assert result.done == 2 * len(seen) > 0
    assert (result.errors, result.response.count) == (0, result.done)
    file.write_text("import no_such_module", encoding="utf-8")
    with pytest.raises(load.LoadError, match="Locust could not run"):
        found(file)
