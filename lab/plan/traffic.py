"""The requests of a load: written in the experiment's file, or read from nginx's access log."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from msgspec import Meta

SAFE = ("GET", "HEAD", "OPTIONS")
# Of a log, from its beginning.
MOST_OF_A_LOG = 2000
# Requests in a row before the order repeats.
ORDER = 600
# Routes whose cost is measured besides, those with the most requests.
MOST_ROUTES = 8

# Patterns of the parts that vary between two answers of the same page.
MASKS: Mapping[str, str] = {
    # Signed values of itsdangerous: CSRF tokens of Flask-WTF, signed cookies.
    "csrf": r"[\w-]{10,}\.[\w-]{4,}\.[\w-]{20,}",
    "request-ids": r"\b[0-9a-f]{32}\b|\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b",
    "dates": r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?"
    r"|\b\d\d:\d\d(?::\d\d)?\b|\b(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d \w{3} \d{4}",
}

_PATH = r"^/[!-~]*\Z"
_ID = re.compile(r"/(?:\d+|[0-9a-f]{8,}(?:-[0-9a-f-]+)?)(?=/|\Z)")


@dataclass(frozen=True)
class Request:
    """One request of a load. `weight`: how often, relative to the others.

    ``{csrf}`` in body, form or headers stands for the token of the page that `csrf` names. check:
    every answer must have the first one's body, or its status alone.
    """

    path: Annotated[str, Meta(pattern=_PATH, description='a path that begins with "/"')]
    method: Annotated[str, Meta(pattern=r"^[A-Z]+\Z", description="a method such as POST")] = "GET"
    weight: Annotated[int, Meta(ge=1, le=100, description="a whole number from 1 to 100")] = 1
    headers: dict[str, str] = field(default_factory=dict)
    body: str = ""
    form: dict[str, str] = field(default_factory=dict)
    json: Any = None
    status: Annotated[int, Meta(ge=100, le=599, description="a status such as 303")] = 200
    check: Literal["body", "status"] | None = None

    @property
    def route(self) -> str:
        """Method and path, without the query and with identifiers replaced."""
        return f"{self.method} {_ID.sub('/{id}', self.path.partition('?')[0])}"

    def text(self) -> tuple[dict[str, str], str]:
        """Headers and body as they are sent."""
        if self.form:
            kind = "application/x-www-form-urlencoded"
            return {"Content-Type": kind, **self.headers}, urlencode(self.form, safe="{}")
        if self.json is not None:
            return {"Content-Type": "application/json", **self.headers}, json.dumps(self.json)
        return dict(self.headers), self.body

    def to_plan(self) -> dict[str, Any]:
        """For the generator's plan."""
        headers, body = self.text()
        check = self.check or ("body" if self.method in SAFE else "status")
        return {
            "method": self.method, "path": self.path, "headers": headers, "body": body,
            "status": self.status, "check": check, "route": self.route,
        }  # fmt: skip


@dataclass(frozen=True)
class Traffic:
    """The requests of a load. moments: when each is sent, in seconds, if they come from a log."""

    requests: tuple[Request, ...]
    mask: tuple[str, ...] = tuple(MASKS)
    csrf: str = ""  # the page that holds a CSRF token; "" for none
    moments: tuple[float, ...] = ()

    def routes(self) -> dict[str, tuple[Request, ...]]:
        """Route → its requests, the most frequent ones first."""
        found: dict[str, list[Request]] = {}
        for request in self.requests:
            found.setdefault(request.route, []).append(request)
        weights = {name: sum(one.weight for one in some) for name, some in found.items()}
        names = sorted(found, key=lambda name: -weights[name])[:MOST_ROUTES]
        return {name: tuple(found[name]) for name in names}

    def order(self, seed: int | str) -> list[int]:
        """The requests in a row, as indexes: those of a log as they are, others by weight.

        Each part of the row has the same mix, in a new order, so that slices cost the same.
        """
        if self.moments:
            return list(range(len(self.requests)))
        deck = [i for i, one in enumerate(self.requests) for _ in range(one.weight)]
        shuffled = random.Random(seed)  # noqa: S311 - an order, not a secret
        row: list[int] = []
        while len(row) < max(ORDER, len(deck)):
            row += shuffled.sample(deck, len(deck))
        return row


def masks(names: Iterable[str]) -> list[str]:
    """The regular expressions of declared masks. Raises re.error for one that is not valid."""
    found = [MASKS.get(name, name) for name in names]
    for one in found:
        re.compile(one)
    return found


def of_log(text: str, *, unsafe: bool = False) -> Traffic:
    """The traffic of lines that nginx/snippets/access-log.conf wrote.

    Methods that change data are left out unless *unsafe*: the log has no bodies. An answer is
    checked by its status, which is that of the arm's first answer. Raises ValueError, which names
    the line, for a text without requests.
    """
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.lstrip().startswith("{"):
            continue  # the entrypoint's own lines
        try:
            one = json.loads(line)
            second = datetime.fromisoformat(one["time"]).timestamp()
            method, path = one["method"], one["path"]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"line {number} is not one of nginx's JSON log: {error}") from None
        if (method in SAFE or unsafe) and re.match(_PATH, str(path)):
            found.append((second, Request(path, method, status=0, check="status")))
    found = sorted(found[:MOST_OF_A_LOG], key=lambda pair: pair[0])
    if len(found) < 2:
        raise ValueError("it has fewer than two requests with a safe method (GET, HEAD, OPTIONS)")
    # The log has whole seconds: what ended in the same one is distributed over it.
    seconds = Counter(second for second, _ in found)
    seen: Counter[float] = Counter()
    moments = []
    for second, _ in found:
        moments.append(second - found[0][0] + seen[second] / seconds[second])
        seen[second] += 1
    return Traffic(tuple(request for _, request in found), moments=tuple(moments))


def shorten_log(text: str) -> str:
    """The lines that of_log() can use, for the run's folder, without clients and addresses."""
    kept: list[str] = []
    for line in text.splitlines():
        if line.lstrip().startswith("{") and len(kept) < 2 * MOST_OF_A_LOG:
            try:
                one = json.loads(line)
                kept.append(json.dumps({k: one[k] for k in ("time", "method", "path")}))
            except (ValueError, KeyError):
                kept.append(line)
    return "\n".join(kept)
