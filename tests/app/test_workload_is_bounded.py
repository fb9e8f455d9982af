"""The views for load tests cost what their parameters state, and refuse parameters out of range."""

import re
import time

import pytest
from flask import Flask

from app import errors, static_files, workload


@pytest.fixture(scope="module")
def client():
    app = Flask("app", static_folder=None)
    app.config["STACK_NAME"] = "a-stack"
    static_files.init_app(app)
    errors.init_app(app)
    app.register_blueprint(workload.blueprint)
    return app.test_client()


@pytest.mark.parametrize(
    "path", ["cpu?ms", "io?ms", "payload?kib", "mixed?io=1&cpu", "mixed?cpu=1&io"]
)
@pytest.mark.parametrize(
    "value",
    [
        *["", "-1", "+1", "1e3", "nan", "inf", "0x10", "1_0", "1.5.2", "1,", "%201"],
        *["10001", "999999999999", "%C2%B2", "%D9%A1"],
    ],
)
def test_invalid_input_is_explained(client, path, value):
    answer = client.get(f"/workload/{path}={value}", headers={"Accept": "application/json"})
    assert answer.status_code == 400
    assert re.split("[?&]", path)[-1] in answer.json["message"]
    assert "from 0 to" in answer.json["message"]


@pytest.mark.parametrize("path", ["cpu", "io", "payload", "mixed?cpu=1", "mixed?io=1"])
def test_a_missing_parameter_is_refused(client, path):
    assert client.get(f"/workload/{path}").status_code == 400


def test_cpu_burns_cpu_time(client):
    before = time.thread_time()
    assert client.get("/workload/cpu?ms=60").status_code == 200
    assert time.thread_time() - before >= 0.06


def test_cpu_accepts_fractions_of_a_millisecond(client):
    before = time.thread_time()
    for _ in range(10):
        assert client.get("/workload/cpu?ms=0.05").json["ms"] == 0.05
    assert time.thread_time() - before < 0.5


def test_io_waits_without_burning(client):
    wall, burnt = time.monotonic(), time.thread_time()
    assert client.get("/workload/io?ms=200").status_code == 200
    assert time.monotonic() - wall >= 0.2
    assert time.thread_time() - burnt < 0.1


def test_mixed_burns_and_waits(client):
    wall, burnt = time.monotonic(), time.thread_time()
    assert client.get("/workload/mixed?cpu=60&io=200").json == {"cpu": 60, "io": 200}
    burnt = time.thread_time() - burnt
    assert 0.06 <= burnt < 0.16
    assert time.monotonic() - wall >= 0.2 + 0.06


@pytest.mark.parametrize("kib", [0, 1, 1024])
def test_payload_sends_the_requested_size(client, kib):
    answer = client.get(f"/workload/payload?kib={kib}")
    assert len(answer.data) == kib * 1024
    assert answer.content_length == kib * 1024


def test_payload_is_in_whole_kib(client):
    assert client.get("/workload/payload?kib=1.5").status_code == 400


def test_bare_needs_nothing(client):
    assert client.get("/workload/bare").json == {"user": None, "name": None}
