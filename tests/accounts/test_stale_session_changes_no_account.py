"""15 minutes after the password was entered, a session can change no account and end no session."""

import time

import pytest

from tests.people.in_process import OTHER_PASSWORD, PASSWORD, Browser, admin, make_app, member

ALWAYS = {"auth.login", "auth.register", "auth.logout", "auth.reauthenticate"}
FIELDS = {
    "role": "moderator",
    "current": PASSWORD,
    "password": OTHER_PASSWORD,
    "repeated": OTHER_PASSWORD,
}


@pytest.fixture(scope="module")
def app(redis):
    return make_app(redis)


@pytest.fixture
def security(app):
    found = app.extensions["security"]
    yield found
    found.clock = time.time


def changes(app):
    """Every view that changes an account or a session."""
    return [
        rule
        for rule in app.url_map.iter_rules()
        if rule.endpoint.startswith(("auth.", "admin."))
        and "POST" in rule.methods
        and rule.endpoint not in ALWAYS
    ]


def test_whatever_it_posts(app, security):
    root, own = admin(app, agent="Firefox/1")
    there = Browser(app, agent="Chrome/1")
    there.log_in(own)
    ada, name = member(app)
    user = security.find(name)
    (chrome,) = (
        one.handle
        for one in security.sessions.sessions_of(security.find(own).id)
        if one.user_agent == "Chrome/1"
    )
    (adas,) = (one.handle for one in security.sessions.sessions_of(user.id))
    token = root.token("/auth/sessions")

    def send(rule):
        handle = chrome if rule.endpoint.startswith("auth.") else adas
        path = rule.rule.replace("<user_id>", user.id).replace("<handle>", handle)
        return path, root.post(path, {**FIELDS, "name": name, "csrf_token": token})

    rules = changes(app)
    assert len(rules) >= 3
    security.clock = lambda: time.time() + 15 * 60 + 1
    for rule in rules:
        path, answer = send(rule)
        assert answer.status_code == 302, path
        assert answer.location.startswith("/auth/reauthenticate"), path
    assert (root.who(), there.who(), ada.who()) == (own, own, name)
    found = security.find(name)
    assert found is not None and found.is_active and list(found.roles) == []
    assert Browser(app).log_in(own, PASSWORD).status_code == 303

    # A fresh session's requests succeed, so the test can tell the two apart.
    assert root.send("/auth/reauthenticate", password=PASSWORD).status_code == 303
    last = ["admin.delete", "admin.end_all_sessions"]
    for rule in sorted(rules, key=lambda rule: (rule.endpoint in last, rule.endpoint)):
        path, answer = send(rule)
        assert answer.status_code == 303, path
        assert "reauthenticate" not in answer.location, path
    assert there.who() is None
    if "admin" in app.blueprints:
        assert (root.who(), ada.who()) == (None, None)
        assert security.find(name) is None
