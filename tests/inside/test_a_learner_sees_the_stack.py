"""In a browser, in front of a real stack: worker, nginx's times, all workers, and every page."""

from __future__ import annotations

import re

import pytest

from tests.people.in_chromium import Surfer

pytestmark = pytest.mark.browser
PAGES = (
    *("workers", "wsgi", "contexts", "routing", "sessions", "security"),
    *("accept", "herd", "preforking", "start"),
)


def test_every_page(surfer: Surfer) -> None:
    surfer.register(f"lea-{surfer.window}")
    for name in ("", *PAGES):
        surfer.open(f"/inside/{name}")
        surfer.look(f"inside-{name or 'index'}-{surfer.window}")


def test_one_request(surfer: Surfer) -> None:
    surfer.register(f"leo-{surfer.window}")
    surfer.open("/inside/")
    text = surfer.page.get_by_role("main").inner_text()
    assert re.search(r"worker [1-4] of 4, process \d+, uWSGIWorker\dCore\d", text)
    assert re.search(r"thunder-lock\s+on", text)
    assert "nginx" in text and "the hand-over" in text
    surfer.follow("Show the whole request")
    assert surfer.heading() == "How a request travelled"
    assert "save_session" in surfer.page.get_by_role("main").inner_text()


def test_the_workers(surfer: Surfer) -> None:
    surfer.register(f"lin-{surfer.window}")
    surfer.open("/inside/workers")
    rows = surfer.page.locator("#inside-workers tbody tr")
    assert rows.count() == 4
    assert "GET /inside/workers" in surfer.page.get_by_role("main").inner_text()
    surfer.open("/inside/preforking")
    assert re.search(r"Worker 1: \d+\.\d MB shared", surfer.page.get_by_role("main").inner_text())
    surfer.open("/inside/start")
    assert "thunder-lock" in surfer.page.get_by_role("main").inner_text()
