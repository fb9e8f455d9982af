"""Static files in the app: `asset()` for templates, and a view that serves them without nginx."""

from __future__ import annotations

import mimetypes
from pathlib import Path

from flask import Flask, Response, abort, has_request_context, request

from app.assets import STATIC, read_all


def init_app(app: Flask, folder: Path = STATIC) -> None:
    """Add `asset()` and the view.

    The files are read once, so that a worker does not pick up the next release's files during a
    deploy. In debug mode each page reads them again, so that edits show at once.
    """
    files = read_all(folder)

    def asset(name: str) -> str:
        """The URL of a file in app/static. Raises KeyError if it does not exist."""
        if app.debug:
            files.update(read_all(folder))
        prefix = request.root_path if has_request_context() else ""
        return f"{prefix}/static/{files[name][0]}"

    @app.get("/static/<name>")
    def static(name: str) -> Response:
        content = dict(files.values()).get(name)
        if content is None:
            abort(404)
        response = app.response_class(content, mimetype=mimetypes.guess_type(name)[0])
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return response

    app.jinja_env.globals["asset"] = asset
