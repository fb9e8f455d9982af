"""Chromium in front of a local stack, and the checks that every page must pass."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from stack.local.runtime import LocalRuntime
from tests.needs import chromium_program
from tests.stack.checkouts import own_name

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

SCREENSHOTS = Path(__file__).parents[2] / "results" / "screenshots"
PHONE = {"width": 390, "height": 844}
SMALL_PHONE = {"width": 360, "height": 740}
DESKTOP = {"width": 1280, "height": 900}
WINDOWS = {
    "phone-light": {"viewport": PHONE, "color_scheme": "light", "has_touch": True},
    "phone-dark": {"viewport": PHONE, "color_scheme": "dark", "java_script_enabled": False},
    "small-phone": {"viewport": SMALL_PHONE, "java_script_enabled": False},
    "desktop-light": {"viewport": DESKTOP, "color_scheme": "light", "java_script_enabled": False},
    "desktop-dark": {"viewport": DESKTOP, "color_scheme": "dark"},
}
PASSWORD = "correct-horse-battery-staple"
# Tests also run on slow machines, and none of them measures time.
PATIENCE_MS = 30_000

NETWORK_CHANGED = "net::ERR_NETWORK_CHANGED"

# Chromium must not download anything itself: tests talk to the stack only.
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

# Elements that extend beyond the right edge, except inside a scrolling box.
OVERFLOWING = """() => {
  const wide = document.documentElement.clientWidth;
  const inScroller = e => { for (; e; e = e.parentElement)
    if (['auto', 'scroll'].includes(getComputedStyle(e).overflowX)) return true; return false; };
  return [...document.body.querySelectorAll('*')]
    .filter(e => e.getBoundingClientRect().right > wide + 0.5 && !inScroller(e))
    .map(e => e.outerHTML.slice(0, 120));
}"""

# The left edges of the text of logo, heading and footer.
LEFT_EDGES = """() => ['.brand', 'main h1', 'footer p'].map(name => {
  const range = document.createRange();
  range.selectNodeContents(document.querySelector(name));
  return Math.round(range.getBoundingClientRect().left);
})"""

# Controls and the size of their target.
CONTROLS = """() => [...document.querySelectorAll('main a.button, button, nav a, input, textarea')]
  .filter(e => e.type !== 'hidden' && e.tabIndex >= 0).map(e => {
    const box = e.getBoundingClientRect();
    return {html: e.outerHTML.slice(0, 120), width: box.width, height: box.height};
  })"""


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One Chromium for all browser tests of a run."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_program(), args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def browsed_stack() -> Iterator[LocalRuntime]:
    """One local stack for all browser tests. Each test registers users of its own."""
    # All windows have one address, so the limit on logins would stop them.
    settings = {
        "STACK_PORT": "0",
        "STACK_NAME": own_name(),
        "STACK_LOGIN_RATE": "0",
        "STACK_INSIDE": "users",
    }
    with LocalRuntime(settings) as runtime:
        yield runtime


@pytest.fixture(scope="session")
def address(browsed_stack: LocalRuntime) -> str:
    return browsed_stack.address()


@pytest.fixture(params=WINDOWS)
def surfer(request: pytest.FixtureRequest, browser: Browser, address: str) -> Iterator[Surfer]:
    """A window of each kind in turn; `window` is its name."""
    surfer = Surfer(browser, address, **WINDOWS[request.param])
    surfer.window = request.param
    yield surfer
    surfer.close()


class Surfer:
    """A browser window. Messages on its console fail `check()`."""

    def __init__(self, browser: Browser, address: str, **window: object) -> None:
        self.context: BrowserContext = browser.new_context(base_url=address, **window)
        self.context.set_default_timeout(PATIENCE_MS)
        self.page: Page = self.context.new_page()
        self.complaints: list[str] = []
        self.window = ""
        self.scripts = window.get("java_script_enabled", True)
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _hear(self, message: object) -> None:
        # Chromium reports pages with an error status, which tests request on purpose.
        harmless = "status of 4" in message.text or NETWORK_CHANGED in message.text
        if message.type in {"error", "warning"} and not harmless:
            self.complaints.append(message.text)

    def close(self) -> None:
        self.context.close()

    def open(self, path: str) -> None:
        """Go to *path*, again while another test makes a network of containers.

        Chromium drops all its connections then, those to this machine too.
        """
        from playwright.sync_api import Error

        for left in reversed(range(10)):
            try:
                self.page.goto(path)
                return
            except Error as error:
                if NETWORK_CHANGED not in error.message or not left:
                    raise

    def register(self, name: str) -> None:
        self.open("/auth/register")
        self.page.get_by_label("Name").fill(name)
        self.page.get_by_label("Password", exact=True).fill(PASSWORD)
        self.page.get_by_label("Repeat the password").fill(PASSWORD)
        self.page.get_by_role("button", name="Create account").click()
        self.page.get_by_role("heading", name=f"Welcome, {name}", level=1).wait_for()

    def press(self, name: str) -> None:
        self.page.get_by_role("button", name=name, exact=True).click()
        self.read()

    def follow(self, name: str) -> None:
        self.page.get_by_role("link", name=name, exact=True).click()
        self.read()

    def read(self) -> None:
        """Wait for the rest of the page: a click waits for the beginning of its answer only."""
        self.page.wait_for_load_state()

    def heading(self) -> str:
        return self.page.get_by_role("heading", level=1).inner_text()

    def look(self, name: str) -> None:
        """Save a screenshot of the page and check it."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)
        self.check(name)

    def check(self, name: str) -> None:
        page = self.page
        assert self.complaints == [], (name, self.complaints)
        assert page.evaluate(OVERFLOWING) == [], name
        assert len(set(page.evaluate(LEFT_EDGES))) == 1, (name, page.evaluate(LEFT_EDGES))
        assert page.get_by_role("main").count() == 1, name
        assert page.get_by_role("banner").count() == 1, name
        assert page.get_by_role("contentinfo").count() == 1, name
        assert page.get_by_role("heading", level=1).count() == 1, name
        assert re.search(r"\S · \S", page.title()), name
        assert page.locator("html").get_attribute("lang") == "en", name
        for control in page.evaluate(CONTROLS):
            # WCAG 2.5.8 requires 24 CSS pixels.
            assert control["height"] >= 24 and control["width"] >= 24, (name, control)
        self.check_names(name)
        self.check_with_axe(name)

    def check_with_axe(self, name: str) -> None:
        """axe-core finds no violation. Without JavaScript of its own a page cannot run it."""
        from axe_playwright_python.sync_playwright import Axe

        if self.scripts:
            found = Axe().run(self.page).response["violations"]
            assert found == [], (name, [(one["id"], one["nodes"][0]["html"]) for one in found])

    def check_names(self, name: str) -> None:
        """Every control has an accessible name."""
        for role in ("button", "link", "textbox", "checkbox"):
            controls = self.page.get_by_role(role)
            nameless = controls.filter(has_not_text=re.compile(r"\S"))
            for index in range(nameless.count()):
                one = nameless.nth(index)
                label = one.evaluate(
                    "e => e.ariaLabel || [...(e.labels || [])].map(l => l.innerText).join(' ')"
                )
                assert label.strip(), (name, role, one.evaluate("e => e.outerHTML"))

    def tab_order(self, presses: int) -> list[str]:
        """The names of the elements that *presses* of Tab focus. Each must be visible."""
        self.page.evaluate("document.activeElement && document.activeElement.blur()")
        visited = []
        for _ in range(presses):
            self.page.keyboard.press("Tab")
            found = self.page.evaluate(
                """() => { const e = document.activeElement;
                  const name = e.ariaLabel || [...(e.labels || [])].map(l => l.innerText).join(' ')
                    || e.innerText || '';
                  const box = e.getBoundingClientRect();
                  return {name: name.trim(), outline: getComputedStyle(e).outlineStyle,
                          shown: box.bottom > 0 && box.right > 0}; }"""
            )
            assert found["outline"] != "none" and found["shown"], found
            visited.append(found["name"])
        return visited
