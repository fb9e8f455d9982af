"""Register, log in and log out: on phone and desktop, light and dark, with and without script.

Each page passes Surfer.check, and a screenshot of it is kept under results/screenshots/.
"""

import pytest

from tests.people.in_chromium import DESKTOP, PASSWORD, Surfer

pytestmark = pytest.mark.browser


def test_the_whole_journey(surfer):
    page, look = surfer.page, lambda name: surfer.look(f"{surfer.window}-{name}")
    name = f"ada-{surfer.window}"

    surfer.open("/")
    look("1-front")
    surfer.follow("Create an account")
    look("2-register")
    surfer.press("Create account")
    look("3-register-refused")
    assert page.get_by_role("alert").evaluate("e => e === document.activeElement")
    surfer.register(name)
    look("4-home")

    surfer.press("Log out")
    surfer.open("/home")
    assert surfer.heading() == "Log in"
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill("not the password")
    surfer.press("Log in")
    look("5-login-refused")
    page.get_by_label("Password").fill(PASSWORD)
    surfer.press("Log in")
    assert surfer.heading() == f"Welcome, {name}"

    surfer.follow(name)
    look("6-sessions")
    surfer.follow("Change your password")
    look("7-password")
    surfer.open("/auth/reauthenticate")
    look("8-reauthenticate")
    surfer.open("/nowhere")
    look("9-not-found")

    surfer.open("/home")
    surfer.press("Log out")
    assert page.url.endswith("/")
    surfer.open("/home")
    assert surfer.heading() == "Log in"


def test_the_keyboard_is_enough(browser, address):
    surfer = Surfer(browser, address, viewport=DESKTOP)
    surfer.open("/auth/login")
    first, brand, *others = surfer.tab_order(7)
    assert (first, others) == (
        "Skip to content",
        ["Log in", "Register", "Name", "Password", "Log in"],
    )
    assert brand == surfer.page.locator("a.brand").inner_text()
    surfer.open("/")
    surfer.page.keyboard.press("Tab")
    surfer.page.keyboard.press("Enter")
    surfer.page.keyboard.press("Tab")
    focused = surfer.page.evaluate("document.activeElement.innerText")
    assert focused == "Log in"
    assert surfer.page.evaluate("document.activeElement.closest('main') !== null")
    surfer.page.keyboard.press("Enter")
    surfer.page.get_by_label("Name").wait_for()
    surfer.close()


def test_text_twice_as_large_still_fits(browser, address):
    """WCAG 1.4.4 and 1.4.10: the page at 200 % is the page in half the window."""
    surfer = Surfer(browser, address, viewport={"width": 320, "height": 640})
    for path in ("/", "/auth/login", "/auth/register", "/nowhere"):
        surfer.open(path)
        surfer.check(path)
    surfer.close()
