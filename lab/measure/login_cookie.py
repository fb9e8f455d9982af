"""Gets the session cookie that a load generator sends with every request."""

from __future__ import annotations

import http.client
from urllib.parse import urlencode, urlsplit

from loadtest.pages import csrf_token
from toggles.demo import DEMO_NAME, DEMO_PASSWORD

TIMEOUT_S = 30.0


class NoCookie(Exception):
    """The server did not set the cookie. The text says what it answered."""


def of_demo_account(address: str) -> str:
    """Log in through the form of the stack at *address*; return ``name=value``.

    Raises NoCookie, or OSError and HTTPException when there is no answer.
    """
    connection = _connection(address)
    try:
        connection.request("GET", "/auth/login")
        page = connection.getresponse()
        token, cookie = csrf_token(page.read().decode()), _cookie(page)
        if token is None:
            raise NoCookie(f"{address}/auth/login answers {page.status} without a login form")
        form = urlencode({"csrf_token": token, "name": DEMO_NAME, "password": DEMO_PASSWORD})
        kind = "application/x-www-form-urlencoded"
        connection.request("POST", "/auth/login", form, {"Cookie": cookie, "Content-Type": kind})
        answer = connection.getresponse()
        if answer.status not in (302, 303) or not _cookie(answer):
            raise NoCookie(f"{address}/auth/login refuses the demo account ({answer.status})")
        return _cookie(answer)
    finally:
        connection.close()


def of_page(address: str, path: str) -> str:
    """GET *path*, which needs no login; return the cookie that it sets. Raises as above."""
    connection = _connection(address)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        if answer.status >= 400 or not _cookie(answer):
            raise NoCookie(f"{address}{path} answers {answer.status} and sets no cookie")
        return _cookie(answer)
    finally:
        connection.close()


def _connection(address: str) -> http.client.HTTPConnection:
    parts = urlsplit(address)
    return http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=TIMEOUT_S)


def _cookie(answer: http.client.HTTPResponse) -> str:
    return (answer.getheader("Set-Cookie") or "").partition(";")[0]
