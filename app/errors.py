"""Error answers: a page for people, JSON for programs, decided by the Accept header.

The same words for the same status everywhere, and never a word about our inside. nginx answers
alike for what does not reach the app (nginx/pages). An error page never looks at the session, since
that may be what is missing.
"""

from __future__ import annotations

from typing import cast

from flask import Flask, Response, jsonify, render_template, request
from flask_wtf.csrf import CSRFError
from werkzeug.exceptions import HTTPException, InternalServerError

from app.logs import request_id

# status: (title, what happened and what to do)
WORDS = {
    400: ("That request cannot be read", "Something in it is malformed. Go back and try again."),
    401: ("Please log in", "This page is for people who are logged in."),
    403: ("Not allowed", "Your account may not do this."),
    404: ("Nothing here", "There is no page at this address. It may have moved or been deleted."),
    405: ("That does not work here", "This address exists, but not for this kind of request."),
    413: ("Too large", "What you sent is larger than the 1 MB that is accepted."),
    429: ("Slow down, please", "That was too many tries in a short time. Wait a moment."),
    500: ("Something broke", "The fault is ours and has been logged. Please try again later."),
    503: ("Back in a moment", "A part that this page needs is away. Please try again shortly."),
}
EXPIRED_FORM = (
    "This form has expired or came from another site. Go back, reload the page and send it again."
)


def wants_json() -> bool:
    """Whether the client would rather have JSON than a page. A tie (`*/*`) goes to the page."""
    accepted = request.accept_mimetypes
    return bool(accepted.best_match(["text/html", "application/json"]) == "application/json")


def init_app(app: Flask) -> None:
    app.register_error_handler(HTTPException, answer)


def answer(error: HTTPException) -> Response:
    """The answer to *error*, with the headers that belong to it (Allow, Retry-After, …)."""
    if error.response is not None:
        return cast(Response, error.response)  # somebody has said in full what to answer
    status = error.code or InternalServerError.code
    title, message = WORDS.get(status, (error.name, error.description or ""))
    if isinstance(error, CSRFError):
        message = EXPIRED_FORM
    elif status < 500 and error.description != type(error).description:
        message = error.description or message  # abort(400, "a sentence of our own")
    if wants_json():
        response = jsonify(status=status, error=title, message=message, request_id=request_id())
    else:
        page = render_template(
            "error.html", status=status, title=title, message=message, request_id=request_id()
        )
        response = Response(page)
    response.status_code = status
    for name, value in error.get_headers():
        if name.lower() != "content-type":
            response.headers[name] = value
    response.headers["Cache-Control"] = "no-store"
    return response
