"""Flask-Login's remember cookie as a token that the server can end.

Flask-Login's own cookie is the user's id with a signature: a copy of it logs in until the secret
key changes. Here the browser has a random token, which is replaced each time it logs in.
Flask-Login does not see the token: it reads its own cookie, made from a valid token, and the cookie
that it sets gets a token as its value. So all its settings and functions apply.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, cast

from flask import Flask, Request, Response
from flask_login import COOKIE_NAME, decode_cookie, encode_cookie
from werkzeug.datastructures import ImmutableMultiDict
from werkzeug.http import parse_cookie, parse_date

from .session import RedisSession
from .store import SessionStore


class RememberCookie:
    """The remember cookie of one request."""

    def __init__(
        self, app: Flask, request: Request, session: RedisSession, store: SessionStore, tls: bool
    ) -> None:
        self._config = app.config
        self._name: str = app.config.get("REMEMBER_COOKIE_NAME", COOKIE_NAME)
        self._session = session
        self._store = store
        self._tls = tls
        self._token: str | None = None  # of the request
        self._next: str | None = None  # its replacement, once it has logged in, if it has one
        self._older = False  # made with an older secret key
        self._dead = False
        # To be ended once the session is written: until then it belongs to one of them.
        self._outdated: str | None = None
        self._new_token: str | None = None
        # The cookies are not parsed for a request that does not need them.
        if self._name in request.environ.get("HTTP_COOKIE", ""):
            self._token = request.cookies.get(self._name)
        if self._token is not None:
            request.cookies = _Cookies(request.cookies, self._name, self._signed)

    def replace(self, response: Response) -> None:
        """Give the cookie of this name a token as its value, if Flask-Login has set it."""
        cookies = response.headers.getlist("Set-Cookie")
        others = [cookie for cookie in cookies if not cookie.startswith(f"{self._name}=")]
        if len(others) < len(cookies):
            mine = (self._replaced(cookie) for cookie in cookies if cookie not in others)
            response.headers.setlist("Set-Cookie", [*others, *mine])
            response.headers.setdefault("Cache-Control", "no-store")
        elif self._dead or self._is_of_another_user():
            response.delete_cookie(
                self._name,
                path=self._config.get("REMEMBER_COOKIE_PATH", "/"),
                domain=self._config.get("REMEMBER_COOKIE_DOMAIN"),
                secure=self._tls,
            )

    def finish(self, response: Response) -> None:
        """End what the request has made useless. Call it when the session is written."""
        self._forget(self._outdated)
        if self._session.lost and self._new_token is not None:
            self._forget(self._new_token)
            kept = response.headers.getlist("Set-Cookie")
            kept = [cookie for cookie in kept if not cookie.startswith(f"{self._name}=")]
            response.headers.setlist("Set-Cookie", kept)

    def _signed(self) -> str:
        """Flask-Login's cookie for the user of the token; an invalid one if there is none."""
        session, token = self._session, self._token
        if token is None or self._dead:
            return ""
        if not self._store.is_token(token):
            self._dead = True
            return ""
        handle = self._store.token_handle(token)
        if session.remember != handle:
            found = self._store.redeem(token)
            if found is None:
                self._dead = True
                return ""
            user_id, login, epoch, seconds, self._next = found
            session.begin(user_id, epoch, login)
            self._older = self._next is None
            if not self._older:
                session.remember = handle
            # Flask-Login then sets the cookie, with the end that it had.
            session["_remember"] = "set"
            if not self._slides:
                session["_remember_seconds"] = seconds
        present = session.get("_user_id")
        return "" if present is None else cast(str, encode_cookie(str(present)))

    def _is_of_another_user(self) -> bool:
        """Whether the request's token would later log in another user than the present one."""
        session, token = self._session, self._token
        user_id = session.user_id if session.touched else None
        if user_id is None or token is None or self._store.is_token_of(user_id, token):
            return False
        self._outdated = token
        return True

    def _replaced(self, cookie: str) -> str:
        value, _, attributes = cookie.partition(";")
        if self._tls and "; Secure" not in cookie:
            attributes += "; Secure"
        if "; SameSite" not in cookie:
            attributes += "; SameSite=Lax"
        login, seconds = decode_cookie(parse_cookie(value).get(self._name, "")), _lifetime(cookie)
        if login is None or seconds <= 0:
            self._outdated = self._token
            return f"{self._name}=;{attributes}"
        token = self._next or self._token
        if token is None or not self._prolong(token, seconds):
            # Requests in parallel may still use one of an older key, for as long as a replaced one.
            self._outdated = None if self._older else self._token
            token = self._new_token = self._new(login, seconds)
        return f"{self._name}={token};{attributes}"

    def _prolong(self, token: str, seconds: int) -> bool:
        """Whether the session's token is *token*, which then has the new end."""
        if self._session.remember != self._store.token_handle(token):
            return False
        as_it_is = self._next is not None and not self._slides
        return as_it_is or self._store.prolong(token, seconds)

    def _new(self, login: str, seconds: int) -> str:
        session = self._session
        user_id = session.user_id or login
        fields = {b"@user": user_id, b"@login": login, b"@epoch": session.epoch}
        encoded = {name: text.encode() for name, text in fields.items()}
        token = self._store.new_token(user_id, encoded, seconds)
        session.remember = self._store.token_handle(token)
        return token

    def _forget(self, token: str | None) -> None:
        if token is not None and self._store.is_token(token):
            self._store.forget(token)

    @property
    def _slides(self) -> bool:
        return bool(self._config.get("REMEMBER_COOKIE_REFRESH_EACH_REQUEST"))


class _Cookies(ImmutableMultiDict[str, str]):
    """The cookies of a request, with one that is computed when it is read."""

    def __init__(self, cookies: Any, name: str, compute: Callable[[], str]) -> None:
        super().__init__(cookies)
        self._name = name
        self._compute = compute

    def __getitem__(self, key: str) -> str:
        return self._compute() if key == self._name else super().__getitem__(key)


def _lifetime(cookie: str) -> int:
    """Seconds until a cookie expires; 0 for one that is deleted."""
    expires = re.search(r"; Expires=([^;]+)", cookie)
    end = parse_date(expires[1]) if expires else None
    return 0 if end is None else round((end - datetime.now(UTC)).total_seconds())
