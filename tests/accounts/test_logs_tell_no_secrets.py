"""The security log records the events without passwords, cookies, tokens or typed names."""

import logging

import pytest

from app.security.access import requires
from tests.people.in_process import OTHER_PASSWORD, PASSWORD, Browser, admin, member


@pytest.fixture(scope="module")
def app(app):
    @app.get("/admins-only")
    @requires("users.manage")
    def admins_only():
        return ""

    return app


@pytest.fixture
def lines(app, caplog):
    """Each record as app/logs writes it."""
    from app.logs import formatter

    caplog.set_level(logging.DEBUG)
    caplog.handler.setFormatter(formatter())
    return lambda: "".join(caplog.handler.format(record) + "\n" for record in caplog.records)


def test_events_and_nothing_else(app, lines):
    ada, name = member(app)
    cookies = [ada.session_id]
    ada.log_in(name, "Wrong-Secret-1")
    ada.log_in("Typed-Secret-2", "Wrong-Secret-3")
    ada.send("/auth/reauthenticate", password=PASSWORD)
    cookies.append(ada.session_id)
    ada.send("/auth/password", current=PASSWORD, password=OTHER_PASSWORD, repeated=OTHER_PASSWORD)
    cookies.append(ada.session_id)
    ada.get("/admins-only")
    ada.log_out()
    admin(app)
    security = app.extensions["security"]
    security.set_active(security.find(name), False)
    security.delete(security.find(name))
    written = lines()
    for event in (
        "user_created",
        "authn_login_success",
        "authn_login_fail",
        "authn_reauthenticated",
        "authn_password_change",
        "authn_logout",
        "authz_fail",
        "privilege_permissions_changed",
        "user_disabled",
        "user_deleted",
    ):
        assert f'"event": "{event}"' in written, event
    secrets = [PASSWORD, OTHER_PASSWORD, "Wrong-Secret-1", "Typed-Secret-2", "Wrong-Secret-3"]
    for secret in [*secrets, *cookies, "argon2"]:
        assert secret not in written, secret


def test_a_line_cannot_be_forged_by_a_name(app, lines):
    Browser(app).log_in('x\n{"event": "authn_login_success"}', "y")
    assert '"authn_login_success"' not in lines()
