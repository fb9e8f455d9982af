"""A log line is a JSON object with the request id and without cookies, passwords or variables."""

import io
import json
import logging
from pathlib import Path

import pytest
from flask import Flask

from app import logs

ID = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def log():
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logs.formatter())
    logger = logging.getLogger("tests.app")
    logger.handlers, logger.propagate = [handler], False
    logger.setLevel(logging.INFO)
    yield logger, lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    logger.handlers, logger.propagate = [], True


def test_a_record_is_one_json_object_on_one_line(log):
    logger, lines = log
    logger.warning('a "quote",\nan end of line: %s', "\x1b[31m\u2028", extra={"post": "17"})
    (line,) = lines()
    assert line["event"] == 'a "quote",\nan end of line: \x1b[31m\u2028'
    assert (line["level"], line["logger"], line["post"]) == ("warning", "tests.app", "17")
    assert line["timestamp"].endswith("Z")


def test_a_record_names_its_request_but_not_the_query(log):
    logger, lines = log
    with Flask("app").test_request_context(
        "/auth/login?token=a-secret",
        method="POST",
        environ_base={"HTTP_X_REQUEST_ID": ID, "HTTP_TRACEPARENT": "00-trace"},
        headers={"Cookie": "session=a-secret", "Authorization": "Bearer a-secret"},
    ):
        logger.info("hello")
    (line,) = lines()
    assert line["traceparent"] == "00-trace"
    assert (line["request_id"], line["method"], line["path"]) == (ID, "POST", "/auth/login")
    assert "a-secret" not in json.dumps(line)


def test_a_record_outside_a_request_has_no_id(log):
    logger, lines = log
    logger.info("starting")
    assert "request_id" not in lines()[0]


@pytest.mark.parametrize("name", ["password", "Cookie", "csrf_token", "client_secret"])
def test_fields_named_like_secrets_are_redacted(log, name):
    logger, lines = log
    logger.info("hello", extra={name: "a-secret"})
    assert lines()[0][name] == "[redacted]"


def test_a_traceback_shows_no_local_variables(log):
    logger, lines = log
    try:
        local = "a-secret"
        raise ValueError(f"{len(local)} characters")
    except ValueError:
        logger.exception("failed")
    (line,) = lines()
    assert "ValueError: 8 characters" in line["exception"]
    assert Path(__file__).name in line["exception"]
    assert "= 'a-secret'" not in line["exception"]


def test_everything_goes_through_the_standard_tree():
    root = logging.getLogger()
    before = root.handlers, root.level
    try:
        logs.configure()
        logs.configure()
        assert len(root.handlers) == 1
    finally:
        root.handlers, root.level = before
