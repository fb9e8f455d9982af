"""In a fresh checkout `make up` creates .venv from the pins and compiles uWSGI."""

import re
import subprocess
from collections.abc import Iterator

import pytest

from tests.stack.checkouts import Commands, copy_checkout, get
from tests.waiting import wait_until

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commands]:
    commands = Commands(
        copy_checkout(tmp_path_factory.mktemp("fresh"), venv=False),
        XDG_CACHE_HOME=str(tmp_path_factory.mktemp("cache")),
    )
    yield commands
    commands.make("down")


def test_the_first_up_creates_everything_and_shows_it(commands: Commands) -> None:
    done = commands.make("up")
    assert done.returncode == 0, done.stdout + done.stderr
    steps = [line.strip() for line in done.stdout.splitlines() if line.startswith("  ")]
    assert re.match(r"creating \.venv \(Python 3\.\d+\.\d+\)", steps[0])
    assert "installing Python packages (app, local)" in steps
    assert any(step.startswith("compiling uWSGI") for step in steps)
    wait_until(lambda: get(f"{commands.url}/readyz")[0] == 200)


def test_uwsgi_has_our_profile(commands: Commands) -> None:
    log = (commands.run_dir / "logs" / "app.log").read_text()
    assert "Starting uWSGI 2.0." in log
    # The default profile embeds some forty plugins; ours has one.
    plugins = subprocess.run(
        [commands.checkout / ".venv" / "bin" / "uwsgi", "--plugins-list"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert re.findall(r"^(\d+): (\w+)$", plugins.stderr + plugins.stdout, re.MULTILINE) == [
        ("0", "python")
    ]


def test_nothing_is_made_twice(commands: Commands) -> None:
    assert commands.make("down").returncode == 0
    done = commands.make("up")
    assert done.returncode == 0
    assert ".venv" not in done.stdout


def test_another_environment_gets_the_compiled_server(commands: Commands) -> None:
    commands.make("down")
    uwsgi = commands.checkout / ".venv" / "bin" / "uwsgi"
    uwsgi.unlink()
    (commands.checkout / ".venv" / "stack-stamp.json").write_text("{}")
    done = commands.make("up")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "compiling" not in done.stdout
    assert uwsgi.exists()


def test_changed_pins_are_taken_over(commands: Commands) -> None:
    commands.make("down")
    pins = commands.checkout / "requirements" / "local.txt"
    pins.write_text("# looked through\n" + pins.read_text())
    done = commands.make("up")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "installing Python packages (local)" in done.stdout
    assert "compiling" not in done.stdout


def test_the_packages_of_project_come_last(commands: Commands) -> None:
    """Its versions stay when other pins are installed again."""
    (commands.checkout / "project" / "requirements.txt").write_text("itsdangerous==2.1.2\n")
    pins = commands.checkout / "requirements" / "app.txt"
    for _ in range(2):
        pins.write_text("# looked through\n" + pins.read_text())
        commands.make("down")
        done = commands.make("up")
        assert done.returncode == 0, done.stdout + done.stderr
        assert "installing the packages of project/requirements.txt" in done.stdout
        site = commands.checkout / ".venv" / "lib"
        assert [p.name for p in site.rglob("itsdangerous-*")] == ["itsdangerous-2.1.2.dist-info"]


def test_a_pin_that_does_not_match_its_hash_is_refused(commands: Commands) -> None:
    commands.make("down")
    pins = commands.checkout / "requirements" / "local.txt"
    good = pins.read_text()
    pins.write_text(re.sub(r"sha256:[0-9a-f]{64}", "sha256:" + "0" * 64, good))
    # An installed package is not looked at again: it has to be fetched for the hash to matter.
    pip = [
        commands.checkout / ".venv" / "bin" / "pip",
        "uninstall",
        "--quiet",
        "--yes",
        "supervisor",
    ]
    subprocess.run(pip, check=True, capture_output=True)
    done = commands.make("up")
    assert done.returncode != 0
    assert "make up: the Python packages could not be installed: see run/pip.log" in done.stderr
    assert "DO NOT MATCH THE HASHES" in done.stderr
    assert commands.processes() == []
    pins.write_text(good)


def test_clean_removes_what_was_made(commands: Commands) -> None:
    (commands.checkout / "results").mkdir()
    done = commands.make("clean", "YES=1")
    assert done.returncode == 0, done.stdout + done.stderr
    left = {path.name for path in commands.checkout.iterdir()}
    assert left.isdisjoint({"run", "results", ".venv"})
    assert not list(commands.checkout.rglob("__pycache__"))
    assert commands.processes() == []
