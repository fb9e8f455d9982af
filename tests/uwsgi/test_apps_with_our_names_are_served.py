"""An app may have modules named like ours (`app`, `stack`, `toggles` …): its own are imported."""

import subprocess
import sys
from pathlib import Path

import pytest

from stack.checkout import CHECKOUT
from tests.servers.uwsgi import ENTRYPOINT, ask, serving

# Names of the stack's own packages and modules, and names that most apps use.
NAMES = ("app", "toggles", "stack", "tests", "lab", "loadtest", "config")
MODULES = tuple(file.stem for file in CHECKOUT.glob("uwsgi/[a-z]*.py"))

APP = f"""
import importlib
import sys

for name in {(*NAMES, *MODULES)!r}:
    assert importlib.import_module(name).OWNER == "user", name

try:
    import uwsgi
except ImportError:
    inside = None
else:
    inside = uwsgi.worker_id

def create():
    def application(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [f"worker {{inside()}} {{importlib.import_module('redis').__file__}}".encode()]
    return application
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    for name in NAMES:
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text("OWNER = 'user'\n")
    for name in MODULES:
        (folder / f"{name}.py").write_text("OWNER = 'user'\n")
    (folder / "app" / "main.py").write_text(APP)
    return folder


@pytest.mark.parametrize("lazy", ["off", "on"])
def test_the_users_modules_are_imported(tmp_path: Path, folder: Path, lazy: str) -> None:
    # uWSGI searches the working directory first. The checkout holds all our names.
    start = tmp_path / "start"
    start.write_text(f"#!/bin/sh\ncd {CHECKOUT} && exec {ENTRYPOINT}\n")
    start.chmod(0o755)
    with serving(
        tmp_path,
        entrypoint=start,
        PYTHONPATH=f"{folder}:{CHECKOUT}",
        STACK_APP="app.main:create()",
        STACK_LAZY_APPS=lazy,
    ) as server:
        worker, number, redis = ask(server.port).decode().split()
        assert (worker, number in "12") == ("worker", True), "uWSGI's own module"
        assert "site-packages" in redis, "the package, not the directory redis/"
        assert server.workers().keys() == {1, 2}, "the exporter has its own modules"
        reloaded = server.reload()
        assert reloaded.returncode == 0, reloaded.stderr
        assert server.stop() == 0


def test_outside_the_server_there_is_no_uwsgi() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import uwsgi"],
        cwd=CHECKOUT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "ImportError: the module uwsgi exists only inside the uWSGI server" in done.stderr


def test_the_directory_redis_does_not_hide_the_package() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import redis; print(redis.__file__)"],
        env={"PYTHONPATH": str(CHECKOUT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "site-packages" in done.stdout, done.stderr
