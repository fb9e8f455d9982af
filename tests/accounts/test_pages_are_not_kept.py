"""No cache keeps pages behind the login; strangers get JSON or the login, as they accept."""

import pytest

from tests.people.in_process import Browser, admin, make_app

PROTECTED = [
    "/home",
    "/auth/whoami",
    "/auth/sessions",
    "/auth/password",
    "/auth/reauthenticate",
    "/workload/protected",
]


@pytest.fixture(scope="module")
def app(redis):
    return make_app(redis, STACK_WORKLOAD="on")


@pytest.mark.parametrize("path", PROTECTED)
def test_no_store(app, path):
    root, _ = admin(app)
    answer = root.get(path)
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Cookie" in answer.headers["Vary"]


def test_a_public_page_that_greets_somebody_is_not_kept_either(app):
    root, name = admin(app)
    answer = root.get("/")
    assert name in answer.text and answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("path", PROTECTED)
def test_strangers(app, path):
    stranger = Browser(app)
    page = stranger.get(path, Accept="text/html")
    assert (page.status_code, page.location) == (302, f"/auth/login?next={path}") or (
        path == "/auth/reauthenticate" and page.location == "/auth/login"
    )
    answer = stranger.get(path, Accept="application/json")
    assert answer.status_code == 401 and answer.is_json


@pytest.mark.parametrize("path", ["/auth/login", "/auth/register"])
def test_forms_are_not_kept(app, path):
    assert Browser(app).get(path).headers["Cache-Control"] == "no-store"
