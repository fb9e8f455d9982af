"""`make audit` against an OSV service of the test's own."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from operate import audit
from stack.checkout import CHECKOUT
from stack.errors import StackError
from stack.venv import every_pin_file

ADVISORY = {
    "id": "GHSA-0000-0000-0000",
    "summary": "An advisory of the test",
    "published": "2026-01-01T00:00:00Z",
    "affected": [
        {
            "package": {"name": "flask", "ecosystem": "PyPI"},
            "ranges": [
                {"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "99.0"}]},
            ],
        }
    ],
}


class Osv:
    """Answers queries. *advisories*: by package."""

    def __init__(self, server: ThreadingHTTPServer) -> None:
        self.url = f"http://127.0.0.1:{server.server_port}/v1/query"
        self.advisories: dict[str, list[dict[str, Any]]] = {}
        self.status = 200
        self.asked: set[str] = set()


@pytest.fixture
def osv() -> Iterator[Osv]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            query = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            name = query["package"]["name"]
            service.asked.add(name)
            found = service.advisories.get(name)
            body = json.dumps({"vulns": found} if found else {}).encode()
            self.send_response(service.status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        service = Osv(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield service
        server.shutdown()


def test_every_pin_is_asked_for_and_nothing_found_is_0(
    osv: Osv, capsys: pytest.CaptureFixture[str]
) -> None:
    assert audit.audit({"OSV_URL": osv.url}) == 0
    assert re.search(r"^the pins: \d+ packages, 0 advisories$", capsys.readouterr().out, re.M)
    # Other lines have a marker, such as that of another system.
    pin = re.compile(r"^([\w.-]+)(?:\[[^]]*\])?==[^\s;]+ \\$", re.MULTILINE)
    pinned = {
        re.sub(r"[-_.]+", "-", name).lower()
        for file in every_pin_file()
        for name in pin.findall((CHECKOUT / file).read_text())
    }
    assert len(pinned) > 50
    assert pinned <= osv.asked


def test_an_advisory_is_named_and_is_1(osv: Osv, capsys: pytest.CaptureFixture[str]) -> None:
    osv.advisories["flask"] = [ADVISORY]
    assert audit.audit({"OSV_URL": osv.url}) == 1
    lines = capsys.readouterr().out
    assert re.search(r"^  flask +3\.\S+ +GHSA-0000-0000-0000 +fixed in 99\.0$", lines, re.M), lines


@pytest.mark.parametrize("fault", ["refused", "500"])
def test_a_service_that_does_not_answer_is_no_success(osv: Osv, fault: str) -> None:
    osv.status = 500
    url = osv.url if fault == "500" else "http://127.0.0.1:9/v1/query"
    with pytest.raises(StackError, match=r"nothing was audited: http.* did not answer"):
        audit.audit({"OSV_URL": url})


def test_a_package_that_was_not_looked_up_is_no_success() -> None:
    skipped = {"name": "one", "skip_reason": "not found on the index"}
    with pytest.raises(StackError, match=r"not audited: one \(not found on the index\)"):
        audit.rows_of([skipped])


def test_what_project_installs_is_asked_for_too(
    osv: Osv, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not audit._names_packages(CHECKOUT / audit.PINS)
    monkeypatch.setattr(audit, "_names_packages", lambda _file: True)
    assert audit.audit({"OSV_URL": osv.url}) == 0
    out = capsys.readouterr().out
    assert re.search(r"^what is installed in \.venv: \d+ packages, 0 adv", out, re.MULTILINE), out
