"""A person who uses a running stack over HTTP: pages, forms, cookies, redirects.

The tests of both runtimes use this module, so "it works" means the same for both.
"""

from __future__ import annotations

import json
import secrets
import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from html.parser import HTMLParser
from http.cookiejar import CookieJar
from urllib.parse import urlencode, urljoin

TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Answer:
    status: int
    url: str
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode(errors="replace")

    @property
    def json(self) -> object:
        return json.loads(self.body)


@dataclass
class Form:
    """A form of a page: its target, its method and the values of its fields."""

    action: str
    method: str
    fields: dict[str, str] = field(default_factory=dict)


class _Forms(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[Form] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.found.append(Form(given.get("action", ""), given.get("method", "get").lower()))
        elif tag in {"input", "textarea"} and self.found and "name" in given:
            self.found[-1].fields[given["name"]] = given.get("value", "")


class Person:
    """Keeps cookies and follows redirects, as a browser does."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.cookies = CookieJar()
        # The certificate of a new stack is self-signed.
        context = ssl._create_unverified_context()
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}),
            urllib.request.HTTPSHandler(context=context),
            urllib.request.HTTPCookieProcessor(self.cookies),
        )

    def get(self, path: str, **headers: str) -> Answer:
        return self._send(urllib.request.Request(urljoin(self.address, path), headers=headers))

    def post(self, path: str, fields: dict[str, str], **headers: str) -> Answer:
        body = urlencode(fields).encode()
        return self._send(urllib.request.Request(urljoin(self.address, path), body, headers))

    def send(self, path: str, body: bytes, **headers: str) -> Answer:
        """POST *body*; an underscore in the name of a header stands for a hyphen."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self._send(urllib.request.Request(urljoin(self.address, path), body, named))

    def fill_in(self, path: str, *, action: str | None = None, **typed: str) -> Answer:
        """Open *path*, fill in the form that has these fields (and this *action*), and send it."""
        page = self.get(path)
        parser = _Forms()
        parser.feed(page.text)
        for form in parser.found:
            if typed.keys() <= form.fields.keys() and action in {None, form.action}:
                target = urljoin(page.url, form.action or page.url)
                assert form.method == "post", f"the form of {path} is sent by {form.method}"
                # Browsers send it, and over https Flask-WTF refuses a form without it.
                return self.post(target, {**form.fields, **typed}, Referer=page.url)
        raise AssertionError(
            f"{path} ({page.status}) has no form with {list(typed)} {action or ''}"
        )

    def _send(self, request: urllib.request.Request) -> Answer:
        try:
            response = self._opener.open(request, timeout=TIMEOUT_S)
        except urllib.error.HTTPError as error:
            response = error
        with response:
            headers = {name.lower(): value for name, value in response.headers.items()}
            return Answer(response.status, response.url, headers, response.read())


def walk_through(address: str) -> None:
    """Register, log out, be refused, log in with a wrong and with the right password."""
    person = Person(address)
    name, password = f"ada-{secrets.token_hex(4)}", secrets.token_urlsafe(18)

    refused = person.get("/home")
    assert "/auth/login" in refused.url, f"/home without a login led to {refused.url}"

    registered = person.fill_in("/auth/register", name=name, password=password, repeated=password)
    assert registered.status == 200 and f"Welcome, <bdi>{name}" in registered.text, registered.text
    who = person.get("/auth/whoami")
    assert (who.status, who.json["name"]) == (200, name)

    assert person.fill_in("/home", action="/auth/logout").status == 200
    assert "/auth/login" in person.get("/home").url, "/home is shown after the logout"
    assert person.get("/auth/whoami", Accept="application/json").status == 401

    wrong = person.fill_in("/auth/login", name=name, password="not " + password)
    assert wrong.status == 401, f"the status of a wrong password is {wrong.status}"
    assert person.fill_in("/auth/login", name=name, password=password).status == 200
    assert person.get("/auth/whoami").json["name"] == name
