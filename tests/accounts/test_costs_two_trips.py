"""Strangers cause no round trip to Redis, and a protected page at most two."""

import pytest

from tests.people.in_process import Browser, admin, make_app, member


@pytest.fixture(scope="module")
def app(redis):
    return make_app(redis, STACK_WORKLOAD="on")


@pytest.fixture
def trips(app):
    """Counts the round trips to Redis of a call."""
    client = app.extensions["redis"]
    real, made = client._round_trip, []

    def counting(packed, *rest):
        made.append(packed)
        return real(packed, *rest)

    def of(call):
        made.clear()
        call()
        return len(made)

    client._round_trip = counting
    yield of
    del client._round_trip


def test_a_stranger_costs_nothing(app, trips):
    stranger = Browser(app)
    for path in ("/", "/livez", "/workload/bare", "/nowhere", "/home", "/workload/protected"):
        assert trips(lambda path=path: stranger.get(path)) == 0, path
        assert stranger.session_id is None, path


def test_a_page_that_does_not_ask_who_is_there_costs_a_member_nothing(app, trips):
    ada, _ = member(app)
    assert trips(lambda: ada.get("/workload/bare")) == 0


@pytest.mark.parametrize("path", ["/workload/protected", "/auth/whoami"])
def test_a_protected_page_costs_two_at_most(app, trips, path):
    ada, name = member(app)
    ada.get(path)
    assert trips(lambda: ada.get(path)) <= 2
    answer = ada.get(path)
    assert answer.json["name"] == name and "Set-Cookie" not in answer.headers


def test_permissions_cost_no_more(app, trips):
    root, _ = admin(app)
    assert trips(lambda: root.get("/home")) <= 2


def test_a_form_costs_a_stranger_nothing(app, trips):
    stranger = Browser(app)
    for path in ("/auth/login", "/auth/register", "/auth/login"):
        assert trips(lambda path=path: stranger.get(path)) == 0
    assert stranger.session_id is None


def test_the_forms_of_a_member_cost_no_write(app, trips):
    ada, _ = member(app)
    assert trips(lambda: ada.get("/home")) <= 2
