"""/inside: how a request travels, shown by the requests of this very stack.

Start with `index`: the time line of the request that asked for it. watch.py records, server.py
knows the workers, pages.py has the live objects of the pages for learners.

To remove all of it, delete this folder, its style sheet and script in app/static, its two lines in
app/__init__.py, and nginx/snippets/inside.conf with its line in nginx/nginx.conf.
"""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Flask, abort, current_app, jsonify, render_template, request
from flask.typing import ResponseReturnValue

from app.errors import wants_json
from app.inside import pages, server, trace
from app.inside.environ import described
from app.inside.watch import KEPT_SECONDS, kept, watch
from app.navigation import Link
from app.security import current_user, login_required, requires

ADMINS = "users.manage"
# Of one admin in a minute: three times "50 at once" and three times "50 one at a time".
MOST_PINGS = 300

blueprint = Blueprint("inside", __name__, url_prefix="/inside", template_folder="templates")


def init_app(app: Flask, audience: str) -> None:
    """Add the pages and record every request. *audience* is `admin` or `users`.

    Call it last: it records the functions and views that are registered by then.
    """
    permission = ADMINS if audience == "admin" else None
    app.extensions["inside"] = permission
    app.register_blueprint(blueprint)
    app.jinja_env.globals["inside_trace"] = trace.current
    links: Any = app.jinja_env.globals.setdefault("navigation", [])
    links.append(Link("Inside", "inside.index", permission))
    watch(app, may_see=lambda user: permission is None or permission in user.permissions)


@blueprint.before_request
@login_required
def guard() -> None:
    """One check for all views."""
    permission = current_app.extensions["inside"]
    if permission is not None and permission not in current_user.permissions:
        abort(403)


@blueprint.after_request
def keep_out_of_caches(response: Any) -> Any:
    response.headers["Cache-Control"] = "no-store"
    return response


@blueprint.get("/")
def index() -> ResponseReturnValue:
    """This request so far, or with ``?trace=ID`` another one, complete."""
    wanted = request.args.get("trace", "")
    if wanted:
        found = kept(current_app.extensions["redis"], wanted)
        mine = found is not None and found["user_id"] == current_user.id
        if not mine and ADMINS not in current_user.permissions:
            abort(404)
        if found is None:
            abort(404, f"There is no trace of this request. One is kept for {KEPT_SECONDS} s.")
    else:
        record = trace.current()
        if record is None:
            abort(503, "This request was not recorded.")
        found = record.as_json()
    if wants_json() or request.args.get("format") == "json":
        return jsonify(found)
    return render_template(
        "inside/index.html",
        trace=found,
        complete=bool(wanted),
        environ=[] if wanted else described(request.environ),
        steps=pages.time_line(found),
        waited=pages.waited(found),
        asked=pages.asked(found["spans"]),
    )


@blueprint.get("/workers")
def workers() -> ResponseReturnValue:
    """All workers: what each does now."""
    try:
        found = server.all_workers()
    except (OSError, KeyError, ValueError):
        found = []
    if wants_json():
        return jsonify(workers=found, masters=server.generations(), here=server.this_worker())
    return render_template(
        "inside/workers.html",
        workers=found,
        masters=server.generations(),
        here=server.this_worker(),
        admin=ADMINS in current_user.permissions,
    )


@blueprint.get("/ping")
@requires(ADMINS)
def ping() -> ResponseReturnValue:
    """Which worker and thread answers: the workers' page sends 50 of these."""
    redis = current_app.extensions["redis"]
    key = f"app:inside:pings:{current_user.id}"
    count, _ = redis.pipeline([("INCR", key), ("EXPIRE", key, 60, "NX")])
    if count > MOST_PINGS:
        abort(429)
    return jsonify(server.this_worker())


@blueprint.get("/<name>")
def page(name: str) -> ResponseReturnValue:
    """One of the pages for learners, with its live objects."""
    if name not in pages.PAGES:
        abort(404)
    title, live = pages.PAGES[name]
    return render_template(f"inside/{name}.html", title=title, name=name, **live())
