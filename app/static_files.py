"""Static files in the app: `asset()` for templates, and answers where no nginx gives them."""

from __future__ import annotations

import mimetypes
from pathlib import Path

from flask import Flask, Response, abort

from app.assets import STATIC, hashed_name, read_all

URL_PREFIX = "/static/"
FOR_EVER = "public, max-age=31536000, immutable"


class StaticFiles:
    """The files of one release, by the names that pages give them.

    They are read once: a worker must not answer with another release's names after an upgrade. Only
    with *fresh* (debug mode) are they read again for every page, so that an edit shows on reload.
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
        """The address of a file in app/static. Raises KeyError for a file that is not there."""
        if self._fresh:
            self._load()
        return URL_PREFIX + self._urls[name]

    def content(self, hashed: str) -> bytes | None:
        """The content behind a hashed name, or None."""
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
        response.headers["Cache-Control"] = FOR_EVER
        return response
