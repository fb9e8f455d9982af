"""Two browsers of one user: the list of sessions, ending one, and a change of password."""

import pytest

from tests.people.in_chromium import DESKTOP, PASSWORD, PHONE, Surfer

pytestmark = pytest.mark.browser

NEW_PASSWORD = "another-horse-battery-staple"


@pytest.fixture
def desk_and_phone(browser, address):
    desk = Surfer(browser, address, viewport=DESKTOP)
    phone = Surfer(browser, address, viewport=PHONE, java_script_enabled=False)
    yield desk, phone
    desk.close()
    phone.close()


def log_in(surfer, name, password=PASSWORD):
    surfer.open("/auth/login")
    surfer.page.get_by_label("Name").fill(name)
    surfer.page.get_by_label("Password").fill(password)
    surfer.press("Log in")


def is_out(surfer):
    surfer.open("/home")
    return surfer.heading() == "Log in"


def test_the_other_browser_is_listed_and_can_be_ended(desk_and_phone):
    desk, phone = desk_and_phone
    desk.register("grace-lists")
    log_in(phone, "grace-lists")
    assert phone.heading() == "Welcome, grace-lists"

    desk.open("/auth/sessions")
    desk.look("two-sessions")
    rows = desk.page.locator("tbody tr")
    assert rows.count() == 2
    assert rows.filter(has_text="this session").count() == 1
    rows.filter(has_not_text="this session").get_by_role("button").click()
    desk.read()
    assert desk.page.locator("tbody tr").count() == 1

    assert is_out(phone)
    assert not is_out(desk)


def test_a_new_password_logs_the_other_browser_out_and_replaces_the_old_one(desk_and_phone):
    desk, phone = desk_and_phone
    desk.register("grace-changes")
    log_in(phone, "grace-changes")

    desk.open("/auth/password")
    fields = desk.page.locator("input[type=password]")
    assert fields.count() == 3
    for field, text in zip(fields.all(), (PASSWORD, NEW_PASSWORD, NEW_PASSWORD), strict=True):
        field.fill(text)
    desk.look("password-filled")
    desk.page.locator("main button[type=submit]").click()
    desk.read()
    desk.look("password-changed")

    assert is_out(phone)
    assert not is_out(desk)
    log_in(phone, "grace-changes", PASSWORD)
    assert phone.heading() == "Log in", "the old password is refused"
    # A failed login delays the next one.
    phone.page.wait_for_timeout(2500)
    log_in(phone, "grace-changes", NEW_PASSWORD)
    assert phone.heading() == "Welcome, grace-changes"
