"""A password stays valid until its owner changes it; no date forces a new one."""

import time

from tests.people.in_process import Browser, member

TEN_YEARS = 10 * 365 * 24 * 3600


def test_after_ten_years(app):
    _, name = member(app)
    security = app.extensions["security"]
    security.clock = lambda: time.time() + TEN_YEARS
    try:
        ada = Browser(app)
        entered = ada.log_in(name)
        assert (entered.status_code, entered.location) == (303, "/home")
        for page in ("/home", "/auth/sessions", "/auth/password"):
            assert ada.get(page).status_code == 200, "nobody is sent anywhere else first"
    finally:
        security.clock = time.time
