"""A session's id changes whenever its privileges change, and the old id is invalid."""

from tests.people.in_process import OTHER_PASSWORD, PASSWORD, Browser, member, new_name


def assert_gone(app, session_id):
    thief = Browser(app)
    thief.client.set_cookie(app.config["SESSION_COOKIE_NAME"], session_id)
    assert thief.who() is None


def test_at_login(app):
    ada, name = member(app)
    before = ada.session_id
    ada.log_in(name)
    assert before and ada.session_id != before
    assert_gone(app, before)


def test_at_registration(app):
    ada, _ = member(app)
    before = ada.session_id
    ada.register(new_name())
    assert ada.session_id != before
    assert_gone(app, before)


def test_an_id_of_somebody_elses_choice_is_not_adopted(app):
    _, name = member(app)
    ada = Browser(app)
    planted = "A" * 55
    ada.client.set_cookie(app.config["SESSION_COOKIE_NAME"], planted)
    ada.log_in(name)
    assert ada.who() == name and ada.session_id != planted
    assert_gone(app, planted)


def test_what_a_stranger_had_in_the_session_does_not_come_along(app):
    _, name = member(app)
    ada = Browser(app)
    token = ada.token("/auth/login")
    assert ada.log_in(name).status_code == 303
    assert ada.post("/auth/logout", {"csrf_token": token}).status_code == 400


def test_when_the_password_is_asked_for_again(app):
    ada, name = member(app)
    before = ada.session_id
    assert ada.send("/auth/reauthenticate", password=PASSWORD).status_code == 303
    assert ada.session_id != before and ada.who() == name
    assert_gone(app, before)


def test_when_the_password_changes(app):
    ada, name = member(app)
    before = ada.session_id
    answer = ada.send(
        "/auth/password", current=PASSWORD, password=OTHER_PASSWORD, repeated=OTHER_PASSWORD
    )
    assert answer.status_code == 303
    assert ada.session_id != before and ada.who() == name
    assert_gone(app, before)


def test_when_somebody_is_granted_a_role_they_log_in_again(app):
    ada, name = member(app)
    before = ada.session_id
    security = app.extensions["security"]
    security.change_roles(security.find(name), grant=["moderator"])
    assert ada.who() is None
    assert_gone(app, before)
    ada.log_in(name)
    assert ada.session_id != before and ada.who() == name
