"""Error responses: an HTML page or JSON, chosen by the Accept header.

They reveal nothing about the internals. nginx answers in the same form where a request does not
reach the app (nginx/pages). Only 403 and 404 read the session, for the links in the header: with
other errors it may be what failed.
"""

from __future__ import annotations

from typing import Any, cast

import flask
from flask import Flask, Response, jsonify, render_template, request
from flask.json.provider import DefaultJSONProvider
from flask_wtf.csrf import CSRFError
from werkzeug.datastructures import ImmutableMultiDict
from werkzeug.exceptions import BadRequest, HTTPException, InternalServerError
from werkzeug.formparser import FormDataParser
from werkzeug.sansio.http import parse_cookie
from werkzeug.utils import cached_property

from app.logs import request_id

MESSAGES = {  # status: (title, sentence)
    400: ("Bad request", "The request is malformed. Please go back and try again."),
    401: ("Login required", "You need to log in to see this page."),
    403: ("Not allowed", "Your account does not have permission to do this."),
    404: ("Page not found", "There is no page at this address. It may have moved or been deleted."),
    405: ("Method not allowed", "This address does not accept this kind of request."),
    413: ("Too large", "The request is larger than this site accepts."),
    429: ("Too many attempts", "Please wait a moment, then try again."),
    500: ("Server error", "Something went wrong. It has been logged. Please try again later."),
    503: ("Temporarily unavailable", "Please try again in a few seconds."),
}
EXPIRED_FORM = (
    "This form has expired or was sent from another site. "
    "Please go back, reload the page and send it again."
)


def wants_json() -> bool:
    """Whether the client prefers JSON to HTML. A tie (`*/*`) is HTML."""
    accepted = request.accept_mimetypes
    return bool(accepted.best_match(["text/html", "application/json"]) == "application/json")


def init_app(app: Flask) -> None:
    app.json = BoundedJSONProvider(app)
    app.request_class = Request
    app.register_error_handler(HTTPException, answer)


def answer(error: HTTPException) -> Response:
    """The response to *error*, with its headers (Allow, Retry-After, …)."""
    if error.response is not None:
        return cast(Response, error.response)  # abort(response) carries a complete response
    status = error.code or InternalServerError.code
    title, message = MESSAGES.get(status, (error.name, error.description or ""))
    if isinstance(error, CSRFError):
        message = EXPIRED_FORM
    elif status < 500 and error.description != type(error).description:
        message = error.description or message  # abort(400, "…") by a view
    shown = {"status": status, "error": title, "message": message, "request_id": request_id()}
    response = jsonify(shown) if wants_json() else Response(render_template("error.html", **shown))
    response.status_code = status
    for name, value in error.get_headers():
        if name != "Content-Type":
            response.headers[name] = value
    response.headers["Cache-Control"] = "no-store"
    return response


class BoundedJSONProvider(DefaultJSONProvider):
    """Flask's provider, which reports a body nested beyond Python's recursion limit as invalid.

    Werkzeug turns a ValueError into a 400 and does not catch RecursionError: 5,000 opening brackets
    would be a 500, even with `get_json(silent=True)`.
    """

    def loads(self, s: str | bytes, **kwargs: Any) -> Any:
        try:
            return super().loads(s, **kwargs)
        except RecursionError:
            raise ValueError("nested too deeply") from None


class FormParser(FormDataParser):
    """Werkzeug's parser, which refuses a part without a name.

    Werkzeug's own names it None, and everything that reads forms expects strings.
    """

    def parse(self, *arguments: Any, **options: Any) -> Any:
        stream, form, files = super().parse(*arguments, **options)
        if None in form or None in files:
            raise BadRequest("A part of the form has no name.")
        return stream, form, files


class Request(flask.Request):
    """Flask's request, whose forms have names only."""

    form_data_parser_class = FormParser

    @cached_property
    def cookies(self) -> ImmutableMultiDict[str, str]:
        """Werkzeug's, which would look for the header among all variables of the environ."""
        cookies = parse_cookie(self.environ.get("HTTP_COOKIE"), self.dict_storage_class)
        return cast("ImmutableMultiDict[str, str]", cookies)
