"""Errors are HTML or JSON by the Accept header, keep their headers and reveal no secret."""

import pytest
from flask import Flask, abort, request
from flask_wtf.csrf import CSRFError
from werkzeug.exceptions import BadRequest, TooManyRequests, Unauthorized

from app import errors, static_files
from app.redis_client import StoreUnavailable

ID = "0123456789abcdef0123456789abcdef"
STATUSES = [400, 401, 403, 404, 405, 413, 429, 500, 503]


@pytest.fixture
def client():
    app = Flask("app", static_folder=None)
    app.config.update(STACK_NAME="a-stack", MAX_CONTENT_LENGTH=1000)
    static_files.init_app(app)
    errors.init_app(app)

    @app.route("/status/<int:status>")
    def status(status):
        abort(status)

    @app.get("/sentence")
    def sentence():
        abort(400, "ms must be <b>small</b>.")

    @app.get("/broken")
    def broken():
        raise RuntimeError("a-secret")

    @app.get("/broken-with-words")
    def broken_with_words():
        abort(500, "a-secret")

    @app.get("/away")
    def away():
        raise StoreUnavailable("redis at a-secret:6379")

    @app.get("/slow-down")
    def slow_down():
        raise TooManyRequests(retry_after=17)

    @app.get("/expired")
    def expired():
        raise CSRFError("The CSRF token is missing.")

    @app.get("/own-answer")
    def own_answer():
        raise Unauthorized(response=app.response_class("mine", 401))

    @app.post("/json")
    def take_json():
        return {"got": request.get_json(silent="silent" in request.args)}

    return app.test_client()


def get(client, path, accept):
    return client.get(path, headers={"Accept": accept}, environ_base={"HTTP_X_REQUEST_ID": ID})


@pytest.mark.parametrize("status", STATUSES)
def test_a_browser_gets_a_page(client, status):
    answer = get(client, f"/status/{status}", "text/html,application/xhtml+xml,*/*;q=0.8")
    assert answer.status_code == status
    assert answer.mimetype == "text/html"
    assert errors.MESSAGES[status][0] in answer.text
    assert answer.text.count("<h1>") == 1
    assert ID in answer.text
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("status", STATUSES)
def test_a_program_gets_json(client, status):
    answer = get(client, f"/status/{status}", "application/json")
    assert answer.status_code == status
    assert answer.json["status"] == status
    assert answer.json["error"] == errors.MESSAGES[status][0]
    assert answer.json["request_id"] == ID


@pytest.mark.parametrize("accept", ["*/*", "", "nonsense", "image/png", "text/html;q=bad"])
def test_html_is_the_default(client, accept):
    assert get(client, "/not-there", accept).mimetype == "text/html"


def test_the_message_of_a_view_is_shown_and_escaped(client):
    assert "ms must be &lt;b&gt;small&lt;/b&gt;." in get(client, "/sentence", "text/html").text
    assert get(client, "/sentence", "application/json").json["message"].startswith("ms must be <b>")


@pytest.mark.parametrize("path", ["/broken", "/broken-with-words", "/away"])
@pytest.mark.parametrize("accept", ["text/html", "application/json"])
def test_server_errors_reveal_nothing(client, path, accept):
    answer = get(client, path, accept)
    assert answer.status_code >= 500
    assert "a-secret" not in answer.text


def test_headers_of_the_error_are_kept(client):
    assert get(client, "/slow-down", "text/html").headers["Retry-After"] == "17"
    assert int(get(client, "/away", "text/html").headers["Retry-After"]) >= 1
    assert "GET" in client.post("/slow-down").headers["Allow"]


def test_a_missing_form_token_is_explained(client):
    assert "reload the page" in get(client, "/expired", "text/html").text


def test_a_complete_response_is_not_changed(client):
    assert get(client, "/own-answer", "text/html").text == "mine"


def test_a_body_over_the_limit_is_413(client):
    assert (
        client.post("/json", data=b" " * 1001, content_type="application/json").status_code == 413
    )


@pytest.mark.parametrize("body", ["{", "[" * 900, "\ufeff", "NaN,", "\udc00", ""])
def test_a_hostile_json_body_is_a_bad_request(client, body):
    data = body.encode("utf-8", "surrogatepass")
    assert client.post("/json", data=data, content_type="application/json").status_code == 400
    quiet = client.post("/json?silent", data=data, content_type="application/json")
    assert (quiet.status_code, quiet.json) == (200, {"got": None})


def test_five_thousand_brackets_are_a_bad_request(client):
    client.application.config["MAX_CONTENT_LENGTH"] = 1_000_000
    for depth in (5_000, 400_000):
        answer = client.post("/json", data="[" * depth, content_type="application/json")
        assert answer.status_code == BadRequest.code
