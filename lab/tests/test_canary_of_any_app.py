"""An experiment can be about any app; its canary is that app with a known cost."""

from __future__ import annotations

import time
from typing import Any

import pytest

import toggles
from lab.plan import canary
from lab.plan.experiment_file import parse

TEXT = """
question = "Threads or processes, for the shop?"
primary  = { metric = "cpu_us", load = "front page" }
baseline = "2 x 2"
canary   = "burn_300"
app      = "tests.foreign_apps.shop:create_shop()"
login    = "none"
path     = "/"
[loads]
"front page" = { kind = "rotation" }
[arms]
"2 x 2" = { STACK_PROCESSES = 2, STACK_THREADS = 2 }
"4 x 1" = { STACK_PROCESSES = 4, STACK_THREADS = 1 }
"""


def callable_of(stack_app: str) -> Any:
    """As the servers load it."""
    module, _, name = stack_app.partition(":")
    assert module == canary.__name__
    return getattr(canary, name.removesuffix("()"))()


def answer(app: Any, path: str = "/") -> tuple[str, bytes, float]:
    said: list[str] = []
    environ = {
        "REQUEST_METHOD": "GET", "PATH_INFO": path, "SERVER_NAME": "localhost",
        "SERVER_PORT": "80", "wsgi.url_scheme": "http",
    }  # fmt: skip
    begun = time.thread_time()
    body = b"".join(app(environ, lambda status, headers, error=None: said.append(status)))
    return said[0], body, time.thread_time() - begun


def test_every_arm_serves_the_app_and_the_canary_too() -> None:
    experiment = parse(TEXT, "shop.toml")
    served = {arm.role: arm.settings["STACK_APP"] for arm in experiment.arms}
    assert served["arm"] == served["twin"] == "tests.foreign_apps.shop:create_shop()"
    assert toggles.read({"STACK_APP": served["canary"]})
    assert answer(callable_of(served["canary"]))[1].startswith(b"<h1>Two teapots left")


def plain(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", [])
    return [b"plain"]


@pytest.mark.parametrize("around", [f"{__name__}:plain", "tests.foreign_apps.shop:create_shop()"])
def test_its_cost_is_added(around: str) -> None:
    status, body, seconds = answer(callable_of(canary.stack_app("burn_20000", around)))
    assert (status, bool(body)) == ("200 OK", True)
    assert seconds >= 0.02


def test_the_stacks_own_app_needs_no_name() -> None:
    assert canary.stack_app("wake_1") == "lab.plan.canary:wake_1()"
