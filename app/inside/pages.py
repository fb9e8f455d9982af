"""The pages for learners: each has a title and a function that returns its live objects."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from flask import Blueprint, Flask, current_app, g, request, session
from flask.sessions import SecureCookieSessionInterface
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.test import Client

from app.inside import server, start, trace
from app.inside.watch import name_of
from app.security import SecurityManager, current_user


def time_line(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows of a trace in the order of the path. `x` and `width` are per cent of its length."""
    nginx, handed_over = found["nginx"], waited(found)
    rows: list[dict[str, Any]] = []
    if handed_over is not None:
        begin = -nginx["read_ms"] - handed_over
        name = "the hand-over: the socket's queue, the lock, a thread wakes up and reads"
        for layer, what, since, took in (
            ("nginx", "reads the request", begin, nginx["read_ms"]),
            ("uWSGI", name, -handed_over, handed_over),
        ):
            rows.append(
                {"layer": layer, "name": what, "begin_ms": since, "took_ms": took, "depth": 0}
            )
    rows += [dict(span) for span in found["spans"]]
    first = min(row["begin_ms"] for row in rows)
    last = max(row["begin_ms"] + (row["took_ms"] or 0) for row in rows)
    for row in rows:
        row["x"] = 100 * (row["begin_ms"] - first) / ((last - first) or 1)
        end = last if row["took_ms"] is None else row["begin_ms"] + row["took_ms"]
        row["width"] = max(0.6, 100 * (end - row["begin_ms"]) / ((last - first) or 1))
    return rows


def waited(found: Mapping[str, Any]) -> float | None:
    """Milliseconds from nginx's hand-over until the WSGI call; None without nginx."""
    nginx = found["nginx"]
    return max(0.0, 1000 * (found["at"] - nginx["handed_over_at"])) if nginx else None


def asked(spans: Sequence[Mapping[str, Any]]) -> tuple[int, float]:
    """How many round trips to Redis have ended, and their milliseconds."""
    trips = [s["took_ms"] for s in spans if s["layer"] == "Redis" and s["took_ms"] is not None]
    return len(trips), sum(trips)


def wsgi() -> dict[str, Any]:
    """A WSGI app of four lines, called here by hand."""
    calls: list[str] = []

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [f"You asked for {environ['PATH_INFO']}\n".encode()]

    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/hello"}
    body = application(environ, lambda status, headers: calls.append(f"{status}, {headers}"))
    return {"started": calls[0], "body": b"".join(body).decode(), "app": type(current_app.wsgi_app)}


def contexts() -> dict[str, Any]:
    """Two requests in two threads at the same moment, each with a user of its own."""
    app = current_app._get_current_object()  # type: ignore[attr-defined]
    barrier, seen = threading.Barrier(2), {}

    def answer(name: str) -> None:
        with app.test_request_context(f"/as/{name}"):
            g._login_user = current_app.extensions["security"].user_model(name, name, ())
            barrier.wait(2)  # from here on both are in their requests
            seen[name] = {
                "thread": threading.current_thread().name,
                "path": request.path,
                "user": current_user.name,
                "g": f"{id(g._get_current_object()):#x}",
            }
            barrier.wait(2)

    threads = [threading.Thread(target=answer, args=[name]) for name in ("ada", "ben")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(3)
    return {"seen": [seen[name] for name in sorted(seen)], "mine": threading.current_thread().name}


def routing() -> dict[str, Any]:
    """The rules of this app, one blueprint mounted twice, and two apps in one process."""
    rules = sorted(current_app.url_map.iter_rules(), key=lambda rule: rule.rule)
    hello = Blueprint("hello", __name__)
    hello.add_url_rule("/", "index", lambda: f"I am {request.blueprint}")
    twice = Flask("twice")
    twice.register_blueprint(hello, url_prefix="/one", name="one")
    twice.register_blueprint(hello, url_prefix="/two", name="two")
    one, two = Flask("one"), Flask("two")
    for each in (one, two):
        each.add_url_rule("/", "index", lambda: f"I am the app {current_app.name}")
    both = Client(DispatcherMiddleware(one, {"/two": two}))
    return {
        "rules": [
            (rule.rule, sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}), rule.endpoint)
            for rule in rules
        ],
        "before": [
            (scope or "every request", [name_of(each) for each in functions])
            for scope, functions in current_app.before_request_funcs.items()
        ],
        "twice": [twice.test_client().get(path).text for path in ("/one/", "/two/")],
        "apart": [both.get(path).text for path in ("/", "/two/")],
    }


def sessions() -> dict[str, Any]:
    """This session in Redis, and the same values in a signed cookie."""
    serializer = SecureCookieSessionInterface().get_signing_serializer(
        current_app._get_current_object()  # type: ignore[attr-defined]
    )
    values = {key: session[key] for key in session}
    cookie = len(str(serializer.dumps(values))) if serializer else 0
    name = current_app.config["SESSION_COOKIE_NAME"]
    record = trace.current()
    return {
        "asked": asked(record.as_json()["spans"]) if record else (0, 0.0),
        "keys": sorted(values),
        "ours": len(request.cookies.get(name, "")),
        "cookie": cookie,
        "interface": name_of(type(current_app.session_interface)),
    }


def workers() -> dict[str, Any]:
    """The memory of each worker, shared with the others and its own, and its wake-ups."""
    try:
        found = [worker for worker in server.all_workers() if "pss" in worker]
    except (OSError, KeyError, ValueError):
        found = []
    most = max((worker["private"] + worker["shared"] for worker in found), default=1)
    return {"workers": found, "most": most, "here": server.this_worker()}


def accept() -> dict[str, Any]:
    """The server and its options."""
    return {"here": server.this_worker()}


def begun() -> dict[str, Any]:
    """The log of this server's start, and the options that it reports."""
    return {
        "lines": start.lines(),
        "known": start.KNOWN,
        "options": server.options(),
        "here": server.this_worker(),
        "python": server.PYTHON,
    }


def reload() -> dict[str, Any]:
    """What the next reload replaces."""
    found = workers()
    return {
        **found,
        "generations": server.generations(),
        "pss": sum(each["pss"] for each in found["workers"]),
        "in_hand": sum(len(each["in_hand"]) for each in found["workers"]),
    }


def security_manager() -> dict[str, Any]:
    """Each attribute of the SecurityManager, what is in force, and the roles."""
    manager: SecurityManager = current_app.extensions["security"]
    kind = type(manager)
    rows = []
    for name in SecurityManager.__annotations__:
        value = getattr(kind, name)
        rows.append(
            (name, _shown(manager, name, value), value is not getattr(SecurityManager, name))
        )
    views = [
        (endpoint, permission)
        for endpoint, view in sorted(current_app.view_functions.items())
        if (permission := _required(endpoint, view))
    ]
    return {"rows": rows, "views": views, "roles": manager.roles.values(), "manager": name_of(kind)}


def _shown(manager: SecurityManager, name: str, value: object) -> str:
    """An attribute for a reader: the class in force, even if a function makes its object."""
    if name == "user_store":
        return name_of(type(manager.users))
    if name == "role_catalogue":
        return ", ".join(manager.roles)
    return name_of(value) if callable(value) else repr(value)


def _required(endpoint: str, view: Callable[..., Any]) -> str | None:
    """The permission of a view, or that of all views of its blueprint; None for no permission."""
    guards = current_app.before_request_funcs.get(endpoint.rpartition(".")[0], [])
    found = (getattr(each, "permission", None) for each in (view, *guards))
    return next(filter(None, found), None)


# Name in the address: title, live objects. The template has the same name.
PAGES: Mapping[str, tuple[str, Callable[[], dict[str, Any]]]] = {
    "wsgi": ("The WSGI contract", wsgi),
    "contexts": ("Contexts keep requests apart", contexts),
    "routing": ("Routing and blueprints", routing),
    "sessions": ("Three kinds of session", sessions),
    "preforking": ("Preforking and lazy-apps", workers),
    "herd": ("The thundering herd", workers),
    "accept": ("Who accepts the connection", accept),
    "start": ("How uWSGI starts", begun),
    "reload": ("The next reload", reload),
    "security": ("The SecurityManager", security_manager),
}
