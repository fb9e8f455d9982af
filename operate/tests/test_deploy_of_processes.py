"""`make deploy` of local processes: a new version serves, or the old one goes on."""

import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from operate.tests.open_loop import OpenLoop
from tests.stack.checkouts import TINY_APP, Commands, answers, copy_checkout, get
from tests.waiting import wait_until


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commands]:
    folder = copy_checkout(tmp_path_factory.mktemp("deploy"))
    commands = Commands(folder, STACK_APP="tiny:app", STACK_PROCESSES="2", STACK_START_TIMEOUT="30")
    write(commands, TINY_APP)
    done = commands.make("up")
    assert done.returncode == 0, done.stdout + done.stderr
    yield commands
    commands.make("down")


def write(commands: Commands, app: str) -> None:
    (commands.checkout / "tiny.py").write_text(app)


def version(commands: Commands) -> str:
    return get(commands.url)[1].split()[0]


def in_background(commands: Commands, command: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "operate", command],
        cwd=commands.checkout, env=commands.environ, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def generation(commands: Commands) -> int:
    status = json.loads((commands.run_dir / "uwsgi" / "status.json").read_text())
    return int(status["started"])


def test_new_code_and_settings_of_nginx_and_app(commands: Commands) -> None:
    write(commands, TINY_APP.replace('"one"', '"two"'))
    with OpenLoop(commands.url, 50) as loop:
        done = commands.make("deploy", STACK_HARAKIRI="20", STACK_PORT="1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert loop.failed == []
    assert loop.longest_s < 5, str(loop)
    assert version(commands) == "two"
    rendered = commands.run_dir / "nginx" / "conf" / "rendered" / "app.conf"
    assert "uwsgi_read_timeout 25s;" in rendered.read_text()
    # supervisord starts it again with the new settings.
    rendered.unlink()
    os.kill(int((commands.run_dir / "nginx.pid").read_text()), signal.SIGKILL)
    wait_until(lambda: rendered.exists() and answers(commands.url), 30)
    assert "uwsgi_read_timeout 25s;" in rendered.read_text()
    assert "not applied: STACK_PORT=1; the sockets stay open" in done.stdout


def test_code_that_does_not_start_leaves_the_old_one(commands: Commands) -> None:
    before, environment = version(commands), commands.run_dir / "environment.json"
    text = environment.read_text()
    write(commands, "raise RuntimeError('a bad day')")
    done = commands.make("deploy", STACK_THREADS="3")
    assert done.returncode != 0
    assert "a bad day" in done.stderr
    assert version(commands) == before
    assert environment.read_text() == text


def test_a_command_before_the_start_that_fails_stops_it(commands: Commands) -> None:
    before, marks = version(commands), commands.checkout / "marks"
    done = commands.make("deploy", STACK_BEFORE_START=f"echo ran >> {marks}; exit 3")
    assert done.returncode != 0
    assert marks.read_text() == "ran\n"
    assert "STACK_BEFORE_START failed with exit code 3" in done.stderr
    assert version(commands) == before


def test_a_broken_configuration_of_nginx_changes_nothing(commands: Commands) -> None:
    snippet = commands.checkout / "nginx" / "snippets" / "basics.conf"
    good, first = snippet.read_text(), generation(commands)
    snippet.write_text(good + "\nno_such_directive on;\n")
    try:
        done = commands.make("deploy")
    finally:
        snippet.write_text(good)
    assert done.returncode != 0
    assert "no_such_directive" in done.stderr
    assert generation(commands) == first


def test_an_interrupted_one_leaves_the_old_one_and_excludes_others(commands: Commands) -> None:
    before, first = version(commands), generation(commands)
    environment = (commands.run_dir / "environment.json").read_text()
    write(commands, TINY_APP.replace('"one"', '"slow"') + "\ntime.sleep(120)\n")
    deploy = in_background(commands, "deploy")
    wait_until(lambda: generation(commands) > first, 30)
    for command in ("deploy", "reload"):
        refused = commands.make(command)
        assert refused.returncode != 0
        assert f"of {commands.name} is under way" in refused.stderr
    begun = time.monotonic()
    deploy.send_signal(signal.SIGTERM)
    _, errors = deploy.communicate(timeout=60)
    assert deploy.returncode == 130, errors
    assert time.monotonic() - begun < 60
    assert version(commands) == before
    assert (commands.run_dir / "environment.json").read_text() == environment
    assert not [line for line in commands.processes() if "operate deploy" in line]
    write(commands, TINY_APP.replace('"one"', '"three"'))
    assert commands.make("deploy").returncode == 0
    assert version(commands) == "three"


def test_what_only_a_start_reads_is_named(commands: Commands) -> None:
    (commands.checkout / "uwsgi" / "swap.py").touch()
    done = commands.make("deploy")
    assert "not applied: uwsgi/swap.py changed after the start" in done.stdout


def test_changed_packages_are_installed_beside_those_in_use(
    commands: Commands, tmp_path: Path
) -> None:
    package = tmp_path / "cargo-1-py3-none-any.whl"
    about = "cargo-1.dist-info"
    with zipfile.ZipFile(package, "w") as wheel:
        wheel.writestr("cargo.py", 'NAME = "cargo"\n')
        wheel.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: cargo\nVersion: 1\n")
        wheel.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr(f"{about}/RECORD", "")
    # The new directory gets uWSGI and this package only.
    for name in ("app", "local"):
        (commands.checkout / "requirements" / f"{name}.txt").write_text("")
    pins = commands.checkout / "project" / "requirements.txt"
    pins.write_text(f"{pins.read_text()}\ncargo @ file://{package}\n")
    write(commands, TINY_APP.replace('VERSION = "one"', "from cargo import NAME as VERSION"))
    done = commands.make("deploy")
    assert done.returncode == 0, done.stdout + done.stderr
    assert version(commands) == "cargo"
    made = commands.run_dir / "venv-1"
    assert list(made.glob("lib/python*/site-packages/cargo.py"))
    assert not list((commands.checkout / ".venv").glob("lib/python*/site-packages/cargo.py"))
    # Commands of the app run with its packages.
    environment = json.loads((commands.run_dir / "environment.json").read_text())
    assert environment["PATH"].startswith(f"{made}/bin")
