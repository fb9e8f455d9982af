"""The pages for passwords and sessions require a password entered within the last 15 minutes."""

import time

import pytest

from tests.people.in_process import PASSWORD, Browser, member

PAGES = ["/auth/password", "/auth/sessions"]


@pytest.fixture
def later(app):
    """Sets the app's clock, in seconds from now."""
    security = app.extensions["security"]

    def set_clock(seconds):
        security.clock = lambda: time.time() + seconds

    yield set_clock
    security.clock = time.time


@pytest.mark.parametrize("page", PAGES)
def test_after_15_minutes(app, later, page):
    ada, _ = member(app)
    later(14 * 60)
    assert ada.get(page).status_code == 200
    later(15 * 60 + 1)
    asked = ada.get(page)
    assert (asked.status_code, asked.location) == (302, f"/auth/reauthenticate?next={page}")
    assert ada.get("/home").status_code == 200, "other pages do not ask"

    wrong = ada.send(asked.location, password="not the password")
    assert wrong.status_code == 401 and "password is wrong" in wrong.text
    assert ada.get(page).status_code == 302

    right = ada.send(asked.location, password=PASSWORD)
    assert (right.status_code, right.location) == (303, page)
    assert ada.get(page).status_code == 200


def test_programs_are_told_with_401(app, later):
    ada, _ = member(app)
    later(16 * 60)
    answer = ada.get("/auth/sessions", Accept="application/json")
    assert answer.status_code == 401 and "reauthenticate" in answer.json["message"]


def test_a_form_sent_too_late_changes_nothing_and_leads_back_to_its_page(app, later):
    ada, name = member(app)
    there = Browser(app)
    there.log_in(name)
    token = ada.token("/auth/sessions")
    later(16 * 60)
    answer = ada.post("/auth/sessions/end-others", {"csrf_token": token})
    assert (answer.status_code, answer.location) == (
        302,
        "/auth/reauthenticate?next=/auth/sessions",
    )
    assert there.who() == name


def test_a_clock_that_was_set_back_does_not_make_a_session_fresh_for_longer(app, later):
    ada, _ = member(app)
    later(-3600)
    assert ada.get("/auth/password").status_code == 302
