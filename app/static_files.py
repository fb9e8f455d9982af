"""Static files in the app: `asset()` for templates, and a view that serves them without nginx."""

from __future__ import annotations

import mimetypes
from pathlib import Path

from flask import Flask, Response, abort

from app.assets import STATIC, hashed_name, read_all

URL_PREFIX = "/static/"
CACHE_CONTROL = "public, max-age=31536000, immutable"


class StaticFiles:
    """The static files of one release, by hashed name.

    They are read once, so that a worker does not pick up the next release's files during a deploy.
    With *fresh* (debug mode) they are read again for every page, so that edits show at once.
    """

    def __init__(self, folder: Path = STATIC, *, fresh: bool = False) -> None:
        self._folder = folder
        self._fresh = fresh
        self._load()

    def _load(self) -> None:
        contents = read_all(self._folder)
        self._urls = {name: hashed_name(name, content) for name, content in contents.items()}
        self._contents = {self._urls[name]: content for name, content in contents.items()}

    def url(self, name: str) -> str:
        """The URL of a file in app/static. Raises KeyError if it does not exist."""
        if self._fresh:
            self._load()
        return URL_PREFIX + self._urls[name]

    def content(self, hashed: str) -> bytes | None:
        """The content of the file with this hashed name, or None."""
        return self._contents.get(hashed)


def init_app(app: Flask) -> None:
    files = StaticFiles(fresh=app.debug)
    app.jinja_env.globals["asset"] = files.url

    @app.get(f"{URL_PREFIX}<name>")
    def static(name: str) -> Response:
        content = files.content(name)
        if content is None:
            abort(404)
        response = app.response_class(content, mimetype=mimetypes.guess_type(name)[0])
        response.headers["Cache-Control"] = CACHE_CONTROL
        return response
