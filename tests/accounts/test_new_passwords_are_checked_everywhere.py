"""Registration, change of password and the command line refuse the same weak passwords."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.people.in_process import PASSWORD, Browser, make_app, member, new_name

ROOT = Path(__file__).parents[2]
SET_PASSWORD = ["-m", "flask", "--app", "app.wsgi", "user", "set-password", "--password-stdin"]
SERVICE = "flask-uwsgi-stack"  # STACK_NAME's default

# the kind of weakness, and such a password for a user of this name
WEAK = {
    "7 characters": lambda _: "tide-77",
    "among the most common": lambda _: "qwertyuiop",
    "the same in capitals": lambda _: "QwertyUIOP",
    "their own name": lambda name: f"{name.upper()}123",
    "the service's name": lambda _: f"{SERVICE}!",
    "two characters": lambda _: "xyxyxyxyxy",
    "more than a form should hash": lambda _: "tide and moon, " * 18,
}
kinds = pytest.mark.parametrize("kind", WEAK)


@pytest.fixture(scope="module")
def app(redis):
    return make_app(redis)


@kinds
def test_registration(app, kind):
    name = new_name()
    browser = Browser(app)
    assert browser.register(name, WEAK[kind](name)).status_code == 400
    assert app.extensions["security"].find(name) is None
    assert browser.register(name, PASSWORD).status_code == 303


@kinds
def test_change(app, kind):
    ada, name = member(app)
    weak = WEAK[kind](name)
    answer = ada.send("/auth/password", current=PASSWORD, password=weak, repeated=weak)
    assert answer.status_code == 400
    assert Browser(app).log_in(name, PASSWORD).status_code == 303


@kinds
def test_command_line(app, redis, kind):
    _, name = member(app)
    finished = subprocess.run(
        [sys.executable, *SET_PASSWORD, name],
        env=os.environ | redis.environ,
        input=WEAK[kind](name) + "\n",
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
        check=False,
    )
    assert finished.returncode == 1, finished
    assert Browser(app).log_in(name, PASSWORD).status_code == 303
