"""The app under test: the stack's own, with views that write what can be read back, and that fail.

``STACK_APP=faults.app:create()``. Never for production: any client can stop the app.
"""

from __future__ import annotations

import os
import time

from flask import Blueprint, Flask, Response, abort, current_app, jsonify, request, session

from app import create_app
from app.security.users import User

BLOCK = b"0123456789abcde\n" * 64  # 1 KiB

blueprint = Blueprint("faults", __name__, url_prefix="/faults")


@blueprint.post("/mark")
def write() -> Response:
    """Write a mark into the session, or with `account` make an account. A 200 acknowledges it."""
    mark = request.form["mark"]
    if request.form.get("account"):
        current_app.extensions["security"].users.create(User(mark, mark), mark, "no password")
    else:
        session["person"] = request.form["person"]
        session[f"mark {mark}"] = 1
    return jsonify(mark=mark)


@blueprint.get("/mark")
def read() -> Response:
    """Return whose session this is and every mark in it."""
    marks = [name.removeprefix("mark ") for name in session if name.startswith("mark ")]
    return jsonify(person=session.get("person"), marks=marks)


@blueprint.get("/account/<name>")
def account(name: str) -> Response:
    if current_app.extensions["security"].users.get(name) is None:
        abort(404)
    return jsonify(name=name)


@blueprint.get("/sleep")
def sleep() -> Response:
    """Wait with the GIL released, as for a database that never answers."""
    time.sleep(float(request.args["seconds"]))
    return jsonify(pid=os.getpid())


@blueprint.get("/loop")
def loop() -> Response:
    """Compute without an end."""
    while True:
        pass


@blueprint.get("/eat")
def eat() -> Response:
    """Allocate memory, and use it, until the kernel ends this process."""
    eaten = []
    while True:
        eaten.append(bytearray(os.urandom(1 << 10)) * (1 << 12))


@blueprint.get("/large")
def large() -> Response:
    """Send 1 MiB, of which the kernel buffers a part for a slow reader."""
    return Response(BLOCK * 1024, mimetype="text/plain")


def create() -> Flask:
    app = create_app()
    app.extensions["csrf"].exempt(blueprint)
    app.register_blueprint(blueprint)
    return app
