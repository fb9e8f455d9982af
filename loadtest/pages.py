"""Parses what users read: forms, links to static files, the page's header."""

from __future__ import annotations

import re
from html.parser import HTMLParser

_HEAD = re.compile(r"<(header|nav)\b.*?</\1>", re.DOTALL | re.IGNORECASE)


class FormError(ValueError):
    """The page lacks the form, or the form has a field that the user cannot fill in."""


def assets(html: str, prefix: str = "") -> list[str]:
    """The paths below *prefix* of the page's static files on this host, each once, in order."""
    found = re.findall(rf"""(?:href|src)=["']?{re.escape(prefix)}(/static/[^"'\s>]+)""", html)
    return list(dict.fromkeys(found))


def head(html: str) -> str:
    """The headers and navigation of a page, which show who is logged in."""
    return "\n".join(match[0] for match in _HEAD.finditer(html))


class _Forms(HTMLParser):
    """Collects the fields of every form with the values that the page gives them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.forms: list[dict[str, tuple[str, str]]] = []  # name → (type, value)
        self._open = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append({})
            self._open = True
        elif self._open and tag in {"input", "textarea", "select"} and found.get("name"):
            kind = found.get("type", "text").lower() if tag == "input" else tag
            self.forms[-1][found["name"]] = (kind, found.get("value", ""))

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._open = False


def csrf_token(html: str) -> str | None:
    """The ``csrf_token`` of the first form that has one, or None."""
    return next(
        (form["csrf_token"][1] for form in _Forms(html).forms if "csrf_token" in form), None
    )


def fill(html: str, answers: dict[str, str], *, password: str = "") -> dict[str, str]:
    """Fill in the form that has all of *answers*' fields; return what a browser would send.

    Hidden fields keep their values, every password field gets *password*. Raises FormError if no
    form has those fields, or if the form has another field to fill in.
    """
    for fields in _Forms(html).forms:
        if answers.keys() <= fields.keys():
            break
    else:
        raise FormError(f"no form with the field {' and '.join(answers)}")
    sent = {}
    for name, (kind, value) in fields.items():
        if name in answers:
            sent[name] = answers[name]
        elif kind == "password":
            sent[name] = password
        elif kind == "hidden":
            sent[name] = value
        elif kind not in {"submit", "button", "reset", "checkbox", "radio", "image"}:
            raise FormError(f"the form also asks for {name!r}, which the user does not know")
    return sent
