"""Password, sessions and admin pages want a password given within the last 15 minutes."""

import time

import pytest

from tests.people.in_process import PASSWORD, admin, member

PAGES = ["/auth/password", "/auth/sessions", "/admin/users", "/admin/roles"]


@pytest.fixture
def later(app):
    """Sets the app's clock to so many seconds from now."""
    security = app.extensions["security"]

    def set_clock(seconds):
        security.clock = lambda: time.time() + seconds

    yield set_clock
    security.clock = time.time


@pytest.mark.parametrize("page", PAGES)
def test_after_15_minutes(app, later, page):
    root, _ = admin(app)
    later(14 * 60)
    assert root.get(page).status_code == 200
    later(15 * 60 + 1)
    asked = root.get(page)
    assert (asked.status_code, asked.location) == (302, f"/auth/reauthenticate?next={page}")
    assert root.get("/posts/").status_code == 200, "other pages do not ask"

    wrong = root.send(asked.location, password="not the password")
    assert wrong.status_code == 401 and "not your password" in wrong.text
    assert root.get(page).status_code == 302

    right = root.send(asked.location, password=PASSWORD)
    assert (right.status_code, right.location) == (303, page)
    assert root.get(page).status_code == 200


def test_programs_are_told_with_401(app, later):
    root, _ = admin(app)
    later(16 * 60)
    answer = root.get("/admin/users", Accept="application/json")
    assert answer.status_code == 401 and "reauthenticate" in answer.json["message"]


def test_a_form_sent_too_late_changes_nothing_and_leads_back_to_its_page(app, later):
    root, name = admin(app)
    user_id = app.extensions["security"].find(name).id
    path = f"/admin/users/{user_id}"
    token = root.token(path)
    later(16 * 60)
    answer = root.post(f"{path}/grant", {"role": "moderator", "csrf_token": token})
    assert (answer.status_code, answer.location) == (302, f"/auth/reauthenticate?next={path}")
    assert list(app.extensions["security"].find(name).roles) == ["admin"]


def test_a_clock_that_was_set_back_does_not_make_a_session_fresh_for_longer(app, later):
    root, _ = admin(app)
    later(-3600)
    assert root.get("/auth/password").status_code == 302


def test_who_may_not_see_a_page_is_not_asked_for_a_password(app, later):
    ada, _ = member(app)
    later(16 * 60)
    assert ada.get("/admin/users").status_code == 403
