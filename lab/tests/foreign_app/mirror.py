"""The stack's app with a folder of views that tell what a server has told the app."""

import hashlib
from collections.abc import Iterator

from flask import Blueprint, Flask, Response, jsonify, redirect, request
from flask_wtf.csrf import CSRFProtect
from werkzeug.wrappers import Response as AnyResponse

from app import create_app

LARGE = bytes(range(256)) * 4096  # 1 MiB, every byte in it

mirror = Blueprint("mirror", __name__, url_prefix="/mirror")

# What nginx tells about who asks, as headers.
TOLD = ("X-Forwarded-For", "X-Forwarded-Proto", "X-Real-IP", "X-Forwarded-Host", "Proxy", "X-Own")


@mirror.route("/", methods=["GET", "POST", "PUT"])
def seen() -> Response:
    body = request.get_data()
    return jsonify(
        url=request.url,
        path=request.path,
        method=request.method,
        query=request.query_string.decode(),
        address=request.remote_addr,
        scheme=request.scheme,
        host=request.host,
        told={name: request.headers.get(name) for name in TOLD},
        type=request.content_type or None,  # uwsgi says "" for a request without one
        length=len(body),
        digest=hashlib.sha256(body).hexdigest(),
        cookies=request.cookies,
    )


@mirror.get("/bytes")
def every_byte() -> Response:
    return Response(LARGE, mimetype="application/octet-stream")


@mirror.get("/stream")
def stream() -> Response:
    """A response whose length nobody knows beforehand."""

    def parts() -> Iterator[bytes]:
        for number in range(100):
            yield b"%d\n" % number * 100

    return Response(parts(), mimetype="text/plain")


@mirror.get("/nothing")
def nothing() -> tuple[str, int]:
    return "", 204


@mirror.get("/elsewhere")
def elsewhere() -> AnyResponse:
    return redirect("/mirror/", 303)


@mirror.get("/fails")
def fails() -> Response:
    raise RuntimeError("this view always fails")


@mirror.post("/refuses")
def refuses() -> tuple[str, int]:
    """Answers without reading the body."""
    return "no, thank you", 403


def with_mirror() -> Flask:
    app = create_app()
    app.register_blueprint(mirror)
    app.extensions["csrf"].exempt(mirror)
    assert isinstance(app.extensions["csrf"], CSRFProtect)
    return app
