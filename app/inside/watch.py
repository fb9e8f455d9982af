"""Makes an app record its requests: the WSGI call, Flask's steps and each round trip to Redis.

Called once, after all blueprints are registered: it wraps what is there. Without the call nothing
of this package is imported, so a request costs nothing.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import wraps
from typing import TYPE_CHECKING, Any

from flask import (
    Flask,
    appcontext_popped,
    appcontext_pushed,
    before_render_template,
    g,
    has_request_context,
    request,
    template_rendered,
)
from werkzeug.wsgi import ClosingIterator

from app.inside import trace
from app.inside.server import this_worker
from app.redis_client import Client, ReplyError, StoreUnavailable
from app.security import User

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

# Probes would fill the list of kept traces.
NOT_TRACED = ("/livez", "/readyz")
# A trace is kept for so long, and at most so many of a worker's in a second: some 10 MB at worst.
KEPT_SECONDS = 180
KEPT_A_SECOND = 5


def watch(app: Flask, may_see: Callable[[User], bool]) -> None:
    """Record every request of *app* from now on.

    A response to a user who may see traces has the header Server-Timing; the others do not.
    """
    _wrap_functions(app)
    _wrap_sessions(app, may_see)
    redis = app.extensions["redis"]
    _wrap_redis(redis)
    appcontext_pushed.connect(_contexts_pushed, app)
    appcontext_popped.connect(_contexts_popped, app)
    before_render_template.connect(_template_begins, app)
    template_rendered.connect(_template_ends, app)
    app.wsgi_app = _Recorder(app, redis)  # type: ignore[method-assign]


class _Recorder:
    """The WSGI app around Flask's own."""

    def __init__(self, app: Flask, redis: Client) -> None:
        self._app: WSGIApplication = app.wsgi_app
        self._redis = redis
        self._lock = threading.Lock()
        self._second, self._kept = 0, 0

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ.get("PATH_INFO") in NOT_TRACED:
            return self._app(environ, start_response)
        record = trace.begin(environ, this_worker())

        def start(status: str, headers: list[tuple[str, str]], *error: Any) -> Any:
            record.facts["status"] = int(status[:3])
            if record.user_id is not None:
                headers.append(("Server-Timing", record.server_timing()))
            return start_response(status, headers, *error)

        with trace.recording(record), record.span("WSGI", "application(environ, start_response)"):
            answer = self._app(environ, start)
        sending = record.span("WSGI", "uWSGI iterates over the answer and closes it")
        sending.__enter__()

        def finish() -> None:
            sending.__exit__(None, None, None)
            self._keep(record)

        return ClosingIterator(answer, [finish])

    def _keep(self, record: trace.Trace) -> None:
        """Write the trace to Redis, unless this worker has kept enough of this second."""
        with self._lock:
            now = int(time.monotonic())
            self._second, self._kept = now, (self._kept if now == self._second else 0) + 1
            if self._kept > KEPT_A_SECOND or not record.request_id:
                return
        # A trace that is lost hinders nobody.
        with suppress(StoreUnavailable, ReplyError):
            text = json.dumps(record.as_json())
            self._redis.execute("SET", _key(record.request_id), text, "EX", KEPT_SECONDS)


def kept(redis: Client, request_id: str) -> dict[str, Any] | None:
    """The trace of the request with this id, in any worker; None if there is none (any more)."""
    text = redis.execute("GET", _key(request_id))
    return None if text is None else json.loads(text)


def _key(request_id: str) -> str:
    return f"app:inside:{request_id}"


def _timed(layer: str, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def timed(*arguments: Any, **options: Any) -> Any:
        record = trace.current()
        if record is None:
            return function(*arguments, **options)
        with record.span(layer, name):
            return function(*arguments, **options)

    return timed


def _wrap_functions(app: Flask) -> None:
    kinds: dict[str, dict[Any, list[Any]]] = {
        "before_request": app.before_request_funcs,
        "after_request": app.after_request_funcs,
        "teardown_request": app.teardown_request_funcs,
    }
    for kind, scopes in kinds.items():
        for functions in scopes.values():
            functions[:] = [_timed("Flask", f"{kind} {name_of(each)}", each) for each in functions]
    app.teardown_appcontext_funcs[:] = [
        _timed("Flask", f"teardown_appcontext {name_of(each)}", each)
        for each in app.teardown_appcontext_funcs
    ]
    for endpoint, view in app.view_functions.items():
        app.view_functions[endpoint] = _viewed(f"view {endpoint}", view)


def _viewed(name: str, view: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(view)
    def viewed(**arguments: Any) -> Any:
        record = trace.current()
        if record is None:
            return view(**arguments)
        record.facts["endpoint"] = request.endpoint
        record.facts["rule"] = str(request.url_rule)
        record.facts["arguments"] = sorted(arguments)  # their names: values may be secret
        with record.span("Flask", name):
            return view(**arguments)

    return viewed


def _wrap_sessions(app: Flask, may_see: Callable[[User], bool]) -> None:
    sessions: Any = app.session_interface
    sessions.open_session = _timed(
        "Flask", "open_session: an object, nothing is read yet", sessions.open_session
    )
    sessions.save_session = _timed("Flask", "save_session", sessions.save_session)
    manager: Any = app.login_manager  # type: ignore[attr-defined]
    load = manager._load_user

    @wraps(load)
    def load_user() -> None:
        record = trace.current()
        if record is None:
            load()
            return
        with record.span("Flask", "Flask-Login loads the user") as one:
            load()
            user = g._login_user
            one.detail = user.name if user.is_authenticated else "anonymous"
            if user.is_authenticated and may_see(user):
                record.user_id = user.id

    manager._load_user = load_user


def _wrap_redis(redis: Any) -> None:
    pipeline = redis.pipeline

    @wraps(pipeline)
    def traced(commands: Sequence[tuple[Any, ...]], **options: Any) -> list[Any]:
        record = trace.current()
        if record is None:
            return pipeline(commands, **options)  # type: ignore[no-any-return]
        names = [_command(redis, command) for command in commands]
        with record.span("Redis", "one round trip", "; ".join(names)):
            return pipeline(commands, **options)  # type: ignore[no-any-return]

    redis.pipeline = traced


# A line of a script's text before the one that lists its keys.
_PURPOSE = re.compile(r"^-- (.+)(?:\n-- .+)*?\n-- KEYS:", re.MULTILINE)


def _command(redis: Any, command: tuple[Any, ...]) -> str:
    """A command for readers: its name and the kind of its key. Values and ids are left out."""
    name = str(command[0])
    if name == "EVALSHA":
        text = getattr(redis, "_scripts", {}).get(str(command[1]), "")
        purposes = _PURPOSE.findall(text)
        return f"EVALSHA ({purposes[-1]})" if purposes else "EVALSHA"
    key = command[1] if len(command) > 1 else ""
    text = key.decode(errors="replace") if isinstance(key, bytes) else str(key)
    kind = re.match(r"(?:[a-z]+:)+", text)
    return f"{name} {kind[0]}…" if kind else name


def _contexts_pushed(_app: Flask, **_: Any) -> None:
    _moment(
        "contexts pushed", "request, session, g and current_user mean the objects of this request"
    )


def _contexts_popped(_app: Flask, **_: Any) -> None:
    _moment("contexts popped", "nothing of this request is left for the next one")


def _moment(name: str, detail: str) -> None:
    if record := trace.current():
        with record.span("Flask", name, detail):
            pass


def _template_begins(_app: Flask, template: Any, **_: Any) -> None:
    record = trace.current()
    if record is not None and has_request_context():
        one = record.span("Flask", f"template {template.name}")
        one.__enter__()
        g.setdefault("inside_templates", []).append(one)


def _template_ends(_app: Flask, **_: Any) -> None:
    record = trace.current()
    if record is not None and has_request_context() and (open_ := g.get("inside_templates")):
        open_.pop().__exit__(None, None, None)


def name_of(function: Callable[..., Any]) -> str:
    """``flask_wtf.csrf.csrf_protect`` for a function, however deep it was defined."""
    module = getattr(function, "__module__", "")
    return f"{module}.{getattr(function, '__qualname__', repr(function)).rpartition('.')[2]}"
