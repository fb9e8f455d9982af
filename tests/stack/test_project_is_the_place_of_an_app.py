"""What an app in project/ needs reaches it: its code, variables, secrets, data and a first command.

In the local runtime; tests/deploy/ has the same for containers.
"""

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

from tests.stack.checkouts import Commands, copy_checkout, get

# `toggles` is a name of ours as well. The app says what it sees of its surroundings.
APP = """
import json, os
from pathlib import Path
import toggles

def application(environ, start_response):
    (Path(os.environ["DATA_DIR"]) / "seen").open("a").write("x")
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps({
        "owner": toggles.OWNER,
        "environ": dict(os.environ),
        "secret": Path(os.environ["SMTP_PASSWORD_FILE"]).read_text(),
        "seen": (Path(os.environ["DATA_DIR"]) / "seen").read_text(),
    }).encode()]
"""
APP_ENV = """
# Names that the stack's own variables begin with, too.
APP_MODE=production
REDIS_HOST=cache.example
TLS_CA=/etc/ca.pem
DATABASE_URL='postgresql://shop:pa$s@db/shop'
SMTP_PASSWORD_FILE=secrets/smtp
"""
BEFORE = 'echo "$APP_MODE" >> "$DATA_DIR/before"; test "$APP_MODE" != broken'


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commands]:
    checkout = copy_checkout(tmp_path_factory.mktemp("shop"))
    project = checkout / "project"
    (project / "wsgi.py").write_text(APP)
    (project / "toggles.py").write_text("OWNER = 'the shop'\n")
    (project / "app.env").write_text(APP_ENV)
    (project / "secrets" / "smtp").write_text("hunter2")
    settings = "STACK_APP=wsgi:application\nSTACK_PROCESSES=2\nMAIL_FROM=shop@example.org\n"
    (checkout / ".env").write_text(f"{settings}STACK_BEFORE_START='{BEFORE}'\n")
    commands = Commands(checkout)
    yield commands
    commands.make("down")


def seen(shop: Commands) -> dict:
    status, text = get(shop.url)
    assert status == 200, text
    return json.loads(text)


def test_everything_reaches_the_app(shop: Commands) -> None:
    up = shop.make("up")
    assert up.returncode == 0, up.stdout + up.stderr
    assert "Not used: MAIL_FROM in .env. Your app's belong in project/app.env." in up.stdout
    answer = seen(shop)
    assert answer["owner"] == "the shop"
    assert answer["secret"] == "hunter2"
    expected = dict(re.findall(r"^([A-Z_]+)='?([^'\n]*)", APP_ENV, re.M))
    assert {name: answer["environ"].get(name) for name in expected} == expected
    assert (shop.run_dir / "app-data" / "before").read_text() == "production\n"


def test_no_other_service_gets_the_apps_variables(shop: Commands) -> None:
    """nginx and Redis inherit the environment of supervisord."""
    supervisor = json.loads((shop.run_dir / "state.json").read_text())["supervisor_pid"]
    environ = Path(f"/proc/{supervisor}/environ").read_bytes()
    assert b"\0NGINX_RUN=" in environ
    assert b"\0DATABASE_URL=" not in environ


def test_a_changed_file_is_reported_and_applied_and_data_stays(shop: Commands) -> None:
    file = shop.checkout / "project" / "app.env"
    file.write_text(APP_ENV.replace("production", "staging"))
    before = seen(shop)["seen"]
    assert "not applied: project/app.env is newer; `make reload" in shop.make("up").stdout
    assert shop.make("reload").returncode == 0
    answer = seen(shop)
    assert answer["environ"]["APP_MODE"] == "staging"
    assert len(answer["seen"]) > len(before), "the file in DATA_DIR is the one of the first run"
    assert "newer" not in shop.make("up").stdout


def test_a_command_that_fails_is_shown(shop: Commands) -> None:
    assert shop.make("down").returncode == 0
    file = shop.checkout / "project" / "app.env"
    file.write_text(APP_ENV.replace("production", "broken"))
    up = shop.make("up")
    assert up.returncode != 0
    assert "STACK_BEFORE_START failed with exit code 1" in up.stderr
    assert shop.processes() == []


@pytest.mark.parametrize("name", ["STACK_PORT", "UWSGI_HTTP", "REDIS_URL", "PYTHONPATH"])
def test_a_name_of_the_stack_is_refused(shop: Commands, name: str) -> None:
    (shop.checkout / "project" / "app.env").write_text(f"{APP_ENV}{name}=x\n")
    up = shop.make("up")
    assert up.returncode != 0
    assert f"{name} in project/app.env: the stack sets this" in up.stderr


def test_an_app_has_rules_of_its_own(shop: Commands) -> None:
    """Neither pytest nor ruff looks into project/ when it is called for the checkout."""
    project = shop.checkout / "project"
    (project / "tests").mkdir()
    (project / "tests" / "test_shop.py").write_text("import missing\n")
    settings = tomllib.loads((shop.checkout / "pyproject.toml").read_text())["tool"]
    patterns = settings["pytest"]["ini_options"]["testpaths"]
    assert not any(fnmatch("project/tests", pattern) for pattern in patterns)
    ruff = [sys.executable, "-m", "ruff", "check", "--quiet", "."]
    assert subprocess.run(ruff, cwd=shop.checkout, check=False).returncode == 0
