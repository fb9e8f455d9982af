"""In a browser, in front of a real stack: worker, nginx's times, all workers, and every page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from stack.local.runtime import LocalRuntime
from tests.people.in_chromium import DESKTOP, PASSWORD, Surfer
from tests.servers.uwsgi import cores
from tests.waiting import wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.browser
PAGES = (
    *("workers", "wsgi", "contexts", "routing", "sessions", "security"),
    *("accept", "herd", "preforking", "start", "reload"),
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
    thread = r"process \d+, thread uWSGIWorker\dCore\d"
    assert re.search(rf"worker [1-8] of {cores()}, {thread}", text)
    assert re.search(r"thunder-lock\s+on", text)
    assert "nginx" in text and "the hand-over" in text
    surfer.follow("Show the whole request")
    assert surfer.heading() == "How a request travelled"
    assert "save_session" in surfer.page.get_by_role("main").inner_text()


def test_the_workers(surfer: Surfer) -> None:
    surfer.register(f"lin-{surfer.window}")
    surfer.open("/inside/workers")
    rows = surfer.page.locator("#inside-workers tbody tr")
    assert rows.count() == cores()
    assert "GET /inside/workers" in surfer.page.get_by_role("main").inner_text()
    surfer.open("/inside/preforking")
    assert re.search(r"Worker 1: \d+\.\d MB shared", surfer.page.get_by_role("main").inner_text())
    surfer.open("/inside/start")
    text = surfer.page.get_by_role("main").inner_text()
    assert "thunder-lock" in text
    assert re.search(r"spawned uWSGI worker 1 \(pid: \d+, cores: 4\)", text)


@pytest.fixture(scope="module")
def root(browser: Browser, browsed_stack: LocalRuntime) -> Iterator[Surfer]:
    """An admin at a desk."""
    surfer = Surfer(browser, browsed_stack.address(), viewport=DESKTOP)
    surfer.register("root-of-inside")
    assert browsed_stack.flask("user", "grant", "root-of-inside", "admin") == 0  # ends the session
    surfer.open("/auth/login")
    surfer.page.get_by_label("Name").fill("root-of-inside")
    surfer.page.get_by_label("Password").fill(PASSWORD)
    surfer.press("Log in")
    yield surfer
    surfer.close()


@pytest.mark.parametrize("button", ["Send 50 one at a time", "Send 50 at once"])
def test_fifty_requests_spread_over_the_workers(root: Surfer, button: str) -> None:
    root.open("/inside/workers")
    spread = root.page.locator("#inside-spread")
    while True:
        root.press(button)
        spread.get_by_text(re.compile(r": \d|Stopped")).wait_for()
        said = spread.inner_text()
        # Chromium drops its connections when another test makes a network of containers.
        if "a connection broke" not in said:
            break
    counts = re.findall(r"worker (\d), uWSGIWorker\1Core\d: (\d+)", said)
    assert sum(int(count) for _, count in counts) == 50, said
    assert len({worker for worker, _ in counts}) > 1, said


def test_the_page_follows_a_reload(root: Surfer, browsed_stack: LocalRuntime) -> None:
    root.open("/inside/workers")
    masters = root.page.locator("#inside-masters")
    before = int(masters.inner_text().split()[1])
    old = set(root.page.locator("td[data-label=Worker]").all_inner_texts())
    browsed_stack.reload()
    root.page.wait_for_function(
        "text => document.getElementById('inside-masters').textContent === text",
        arg=f"generation {before + 1} serves",
    )
    # The page asks once a second. It may have asked for the workers just before the old ones ended.
    workers = root.page.locator("td[data-label=Worker]")
    new = wait_until(lambda: not old & set(now := workers.all_inner_texts()) and now)
    assert len(new) == cores()
