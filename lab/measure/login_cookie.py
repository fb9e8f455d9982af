"""Gets the session cookie that a load generator sends with every request."""

from __future__ import annotations

import http.client
from collections.abc import Sequence
from urllib.parse import urlencode, urlsplit

from lab.plan.arms import LoginForm
from loadtest.pages import csrf_token
from toggles.demo import DEMO_NAME, DEMO_PASSWORD

TIMEOUT_S = 30.0


class NoCookie(Exception):
    """The server did not set the cookie. The text says what it answered."""


def of_demo_account(address: str) -> str:
    """Log in through the form of the stack at *address*; return ``name=value``.

    Raises NoCookie, or OSError and HTTPException when there is no answer.
    """
    form = {"csrf_token": "{csrf}", "name": DEMO_NAME, "password": DEMO_PASSWORD}
    return of_form(address, LoginForm("/auth/login", form))


def of_form(address: str, login: LoginForm, user: int = 1) -> str:
    """Log in as the *user*-th account through the form of a page. Raises as above.

    The page's CSRF token is sent as ``csrf_token``, or where a value is ``{csrf}``.
    """
    connection = _connection(address)
    try:
        connection.request("GET", login.page)
        page = connection.getresponse()
        token, cookie = csrf_token(page.read().decode()), _cookie(page)
        if page.status != 200:
            raise NoCookie(f"{address}{login.page} answers {page.status} without a login form")
        form = {k: v.replace("{n}", str(user)) for k, v in login.form.items()}
        form = {k: token or "" if v == "{csrf}" else v for k, v in form.items()}
        if token is not None:
            form.setdefault("csrf_token", token)
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        if cookie:
            headers["Cookie"] = cookie
        connection.request("POST", login.page, urlencode(form), headers)
        answer = connection.getresponse()
        if answer.status not in (302, 303) or not (_cookie(answer) or cookie):
            raise NoCookie(f"{address}{login.page} refuses user {user} ({answer.status})")
        return _cookie(answer) or cookie
    finally:
        connection.close()


def sessions(address: str, cookies: Sequence[str], page: str) -> list[dict[str, str]]:
    """Each cookie with the CSRF token that *page* shows with it; "" without a page."""
    found = []
    for cookie in cookies:
        token, kept = "", cookie
        if page:
            connection = _connection(address)
            try:
                connection.request("GET", page, headers={"Cookie": cookie} if cookie else {})
                answer = connection.getresponse()
                token = csrf_token(answer.read().decode()) or ""
                kept = _cookie(answer) or cookie
            finally:
                connection.close()
            if not token:
                raise NoCookie(f"{address}{page} answers {answer.status} without a CSRF token")
        found.append({"cookie": kept, "csrf": token})
    return found


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
