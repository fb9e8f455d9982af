"""Each test runs on Flask's own sessions and on these. Its docstring is a row of the README."""

import inspect
import sys
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import IntEnum, StrEnum
from types import SimpleNamespace
from uuid import UUID

import pytest
from flask import Flask, flash, get_flashed_messages, session
from itsdangerous import TimestampSigner
from markupsafe import Markup
from werkzeug.http import parse_date

from app.sessions import RedisSessionInterface
from stack.checkout import CHECKOUT
from tests.sessions.pages import KEY, client_of


@pytest.fixture
def clock(monkeypatch):
    clock = SimpleNamespace(now=1_800_000_000)
    monkeypatch.setattr(TimestampSigner, "get_timestamp", lambda _signer: clock.now)
    return clock


@pytest.fixture(params=["Flask's", "these"])
def app(request, redis, clock):
    app = Flask("promises")
    app.config.update(TESTING=True, SECRET_KEY=KEY)
    if request.param == "these":
        client = client_of(redis)
        RedisSessionInterface(client, tls=False, clock=lambda: clock.now).init_app(app)
    return app


def visit(app, action, browser=None, **request):
    """Call *action* in a request; return its result and the response."""
    results = []

    def view():
        results.append(action())
        return "done"

    app.view_functions["view"] = view
    if "view" not in app.url_map._rules_by_endpoint:
        app.url_map.add(app.url_rule_class("/", endpoint="view"))
    response = (browser or app.test_client()).get("/", **request)
    return results[0], response


def returned(app, value):
    """What a session makes of *value* until the next request."""
    browser = app.test_client()
    visit(app, lambda: session.update(value=value), browser)
    return visit(app, lambda: session["value"], browser)[0]


def attributes(response):
    """The attributes of the session's cookie, without its value and times."""
    parts = response.headers["Set-Cookie"].split("; ")[1:]
    return {part for part in parts if not part.startswith(("Expires", "Max-Age"))}


def test_attributes(app):
    """`SESSION_COOKIE_DOMAIN`, `_PATH`, `_SECURE`, `_HTTPONLY`, `_SAMESITE`, `_PARTITIONED` are \
the cookie's, also when it is deleted."""
    app.config.update(
        SESSION_COOKIE_NAME="basket",
        SESSION_COOKIE_DOMAIN="example.org",
        SESSION_COOKIE_PATH="/shop",
        SESSION_COOKIE_SECURE=True,
        SESSION_COOKIE_HTTPONLY=False,
        SESSION_COOKIE_SAMESITE="None",
        SESSION_COOKIE_PARTITIONED=True,
    )
    where = {"base_url": "http://example.org/shop"}
    browser = app.test_client()
    _, set_ = visit(app, lambda: session.update(a=1), browser, **where)
    _, deleted = visit(app, lambda: session.pop("a"), browser, **where)
    for response in (set_, deleted):
        assert response.headers["Set-Cookie"].startswith("basket=")
        assert attributes(response) == {
            "Domain=example.org",
            "Path=/shop",
            "Secure",
            "SameSite=None",
            "Partitioned",
        }


def test_application_root(app):
    """`APPLICATION_ROOT` is the cookie's path when `SESSION_COOKIE_PATH` is not set."""
    app.config.update(APPLICATION_ROOT="/shop", SESSION_COOKIE_SAMESITE="Strict")
    _, response = visit(app, lambda: session.update(a=1))
    assert attributes(response) == {"HttpOnly", "Path=/shop", "SameSite=Strict"}


def permanent(app, browser):
    def begin():
        session.permanent = True

    return visit(app, begin, browser)[1]


def expiry(response):
    (found,) = [
        part.removeprefix("Expires=")
        for part in response.headers["Set-Cookie"].split("; ")
        if part.startswith("Expires=")
    ]
    return parse_date(found)


def test_permanent(app):
    """`session.permanent`: the cookie expires after `PERMANENT_SESSION_LIFETIME`, else with the \
browser."""
    app.permanent_session_lifetime = timedelta(hours=2)
    browser = app.test_client()
    left = expiry(permanent(app, browser)) - datetime.now(UTC)
    assert timedelta(minutes=119) < left <= timedelta(hours=2)
    assert visit(app, lambda: session.permanent, browser)[0] is True
    _, response = visit(app, lambda: setattr(session, "permanent", False), browser)
    assert "Expires" not in response.headers["Set-Cookie"]


def test_lifetime(app, clock):
    """`PERMANENT_SESSION_LIFETIME`: a session that is not used for so long has ended on the \
server."""
    app.config["PERMANENT_SESSION_LIFETIME"] = 600
    browser = app.test_client()
    permanent(app, browser)
    for pause, alive in ((599, True), (599, True), (601, False)):
        clock.now += pause
        assert visit(app, lambda: session.permanent, browser)[0] is alive


@pytest.mark.parametrize("refresh", [True, False])
def test_refresh(app, refresh):
    """`SESSION_REFRESH_EACH_REQUEST`: a permanent session's cookie is sent with each response \
that used the session, or only when it changed."""
    app.config["SESSION_REFRESH_EACH_REQUEST"] = refresh
    browser = app.test_client()
    permanent(app, browser)
    _, read = visit(app, lambda: session.get("a"), browser)
    assert ("Set-Cookie" in read.headers) is refresh
    _, changed = visit(app, lambda: session.update(a=1), browser)
    assert "Set-Cookie" in changed.headers


def test_fallbacks(app):
    """`SECRET_KEY_FALLBACKS`: sessions of an older key go on; without it they are over."""
    browser = app.test_client()
    visit(app, lambda: session.update(a=1), browser)
    app.secret_key, app.config["SECRET_KEY_FALLBACKS"] = "a new key " * 4, ["between" * 4, KEY]
    assert visit(app, lambda: session.get("a"), browser)[0] == 1
    app.config["SECRET_KEY_FALLBACKS"] = ["between" * 4]
    assert visit(app, lambda: session.get("a"), browser)[0] is None


def test_no_key(app):
    """Without a `SECRET_KEY` a session is empty, and writing raises RuntimeError."""
    app.secret_key = None
    assert visit(app, lambda: session.get("a"))[0] is None
    with pytest.raises(RuntimeError, match="no secret key"):
        visit(app, lambda: session.update(a=1))


@pytest.mark.parametrize("emptied", ["clear", "popitem"])
def test_emptied(app, emptied):
    """`session.clear()` and the removal of the last key delete the cookie, and nothing else that \
the browser keeps."""
    browser = app.test_client()
    visit(app, lambda: session.update(a=1), browser)
    _, response = visit(app, lambda: [getattr(session, emptied)()], browser)
    assert response.headers["Set-Cookie"].startswith("session=;")
    assert browser.get_cookie("session") is None
    assert "Clear-Site-Data" not in response.headers


def test_vary(app):
    """`Vary: Cookie` is sent when the session was used, once."""
    used, response = visit(app, lambda: session.get("a"))
    assert (used, response.headers.getlist("Vary")) == (None, ["Cookie"])
    assert "Vary" not in visit(app, lambda: None)[1].headers


def test_modified(app):
    """`session.modified` is True after a change, `session.accessed` after a use, `session.new` \
never; `modified = True` saves a change inside a value."""
    browser = app.test_client()

    def flags():
        return session.modified, session.accessed, session.new

    assert visit(app, flags, browser)[0] == (False, True, False)

    def change():
        session["a"] = {"b": []}
        return flags()

    def change_inside():
        session["a"]["b"].append(1)
        session.modified = True

    assert visit(app, change, browser)[0] == (True, True, False)
    visit(app, change_inside, browser)
    assert visit(app, lambda: (session["a"], session.modified), browser)[0] == ({"b": [1]}, False)


class Level(IntEnum):
    HIGH = 3


class Colour(StrEnum):
    RED = "red"


class Name(str):
    __slots__ = ()


class Share(float):
    __slots__ = ()


class Lazy:
    def __html__(self):
        return "<i>later</i>"


@dataclass
class Point:
    x: int
    tags: tuple[str, ...]
    when: date


UTC_TIME = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (True, True),
        (2**70, 2**70),
        (Level.HIGH, 3),
        (Share(0.5), 0.5),
        (Colour.RED, "red"),
        (Name("ann"), "ann"),
        (Decimal("1.50"), "1.50"),
        (b"bytes", b"bytes"),
        (Markup("<b>"), Markup("<b>")),
        (Lazy(), Markup("<i>later</i>")),
        (UUID(int=1), UUID(int=1)),
        (UTC_TIME, UTC_TIME),
        (UTC_TIME.replace(tzinfo=None), UTC_TIME),
        (UTC_TIME.astimezone(timezone(timedelta(hours=5))), UTC_TIME),
        (date(2026, 3, 1), "Sun, 01 Mar 2026 00:00:00 GMT"),
        (
            Point(1, ("a",), date(2026, 3, 1)),
            {"x": 1, "tags": ["a"], "when": "Sun, 01 Mar 2026 00:00:00 GMT"},
        ),
        ((1, ("a", b"b")), (1, ("a", b"b"))),
        ([1, {"a": (UUID(int=2),)}], [1, {"a": (UUID(int=2),)}]),
        ({1: "a", 2: "b"}, {"1": "a", "2": "b"}),
        ({None: 1}, {"null": 1}),
        ({Level.HIGH: 1}, {"3": 1}),
        ({" t": [1]}, {" t": [1]}),
        ({(1, 2): 1}, TypeError),
        ({1, 2}, TypeError),
        (1j, TypeError),
        (object(), TypeError),
    ],
    ids=lambda value: type(value).__name__,
)
def test_values(app, value, expected):
    """Values come back as Flask's JSON returns them: exact for str, int, float, bool, None, list, \
dict, tuple, bytes, UUID, Markup; a subclass as what it extends; a datetime in UTC; an enum of a \
plain type, Decimal, date and dataclass as JSON has them; all else is a TypeError."""
    if expected is TypeError:
        with pytest.raises(TypeError):
            returned(app, value)
        return
    found = returned(app, value)
    assert (type(found), found) == (type(expected), expected)


def test_integer_keys(app):
    """A key that is a number is its text from the next request on."""
    browser = app.test_client()

    def put():
        session[1] = "one"
        return session[1], "1" in session

    assert visit(app, put, browser)[0] == ("one", False)
    assert visit(app, lambda: dict(session), browser)[0] == {"1": "one"}


def test_methods(app):
    """The methods and operators of dict are there, with the results of dict."""

    def use():
        session.update({"a": 1, "b": 2}, c=3)
        results = [
            session.setdefault("a", 9),
            session.setdefault("list", []),
            session.pop("b"),
            session.pop("b", None),
            session.get("b"),
            session.copy(),
            session | {"d": 4},
            {"d": 4, "a": 0} | session,
            list(session),
            list(reversed(session)),
            session == {"a": 1, "c": 3, "list": []},
            "a" in session,
            len(session),
            {**session},
            session.popitem(),
            bool(session),
        ]
        whole = session._get_current_object()
        whole |= {"e": 5}
        session["gone"] = 1
        del session["gone"]
        for absent in (lambda: session["gone"], lambda: session.pop("gone")):
            with pytest.raises(KeyError):
                absent()
        copies = [type(results[place]) for place in (5, 6, 7)]
        return results, copies, whole is session._get_current_object()

    results, copies, same = visit(app, use)[0]
    left = {"a": 1, "c": 3, "list": []}
    assert results == [
        1,
        [],
        2,
        None,
        None,
        left,
        left | {"d": 4},
        {"d": 4} | left,
        ["a", "c", "list"],
        ["list", "c", "a"],
        True,
        True,
        3,
        left,
        ("list", []),
        True,
    ]
    assert (copies, same) == ([dict] * 3, True)


def test_popitem_of_nothing(app):
    """`popitem()` of an empty session raises KeyError."""
    with pytest.raises(KeyError):
        visit(app, lambda: [session.popitem()])


def test_flashes(app):
    """`flash` and `get_flashed_messages` keep categories, order and Markup, for one request."""
    browser = app.test_client()
    visit(app, lambda: [flash("first"), flash(Markup("<b>"), "error")], browser)
    shown = visit(app, lambda: get_flashed_messages(with_categories=True), browser)[0]
    assert shown == [("message", "first"), ("error", Markup("<b>"))]
    assert isinstance(shown[1][1], Markup)
    assert visit(app, get_flashed_messages, browser)[0] == []


def test_transaction(app):
    """`client.session_transaction()` reads and writes the session in tests."""
    browser = app.test_client()
    with browser.session_transaction() as opened:
        opened["a"] = 1
    assert visit(app, lambda: session["a"], browser)[0] == 1
    visit(app, lambda: session.update(a=2), browser)
    with browser.session_transaction() as opened:
        assert opened["a"] == 2


def test_after_request(app):
    """A function of `after_request` can still change the session."""

    @app.after_request
    def mark(response):
        session["marked"] = True
        return response

    browser = app.test_client()
    visit(app, lambda: None, browser)
    assert visit(app, lambda: session["marked"], browser)[0] is True


@pytest.mark.parametrize("cookie", ["", "x", "x.y.z", "A" * 55])
def test_foreign_cookie(app, cookie):
    """A cookie that the app did not make is an empty session, and the next change replaces it."""
    browser = app.test_client()
    browser.set_cookie("session", cookie)
    assert visit(app, lambda: dict(session), browser)[0] == {}
    visit(app, lambda: session.update(a=1), browser)
    assert visit(app, lambda: dict(session), browser)[0] == {"a": 1}


def test_the_readme_lists_the_promises():
    readme = (CHECKOUT / "app" / "sessions" / "README.md").read_text()
    promises = [
        inspect.getdoc(member)
        for name, member in vars(sys.modules[__name__]).items()
        if name.startswith("test_") and inspect.getdoc(member)
    ]
    assert len(promises) > 15
    assert [row for row in promises if f"| {row} |" not in readme] == []
