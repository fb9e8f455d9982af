"""`make dev` serves the app with auto-reload on a port of its own, on the stack's Redis."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from stack import ports
from tests.stack.checkouts import Commands, answers, copy_checkout, get
from tests.waiting import wait_until


@pytest.fixture
def commands(tmp_path: Path) -> Iterator[Commands]:
    commands = Commands(copy_checkout(tmp_path))
    yield commands
    commands.make("down")
    assert commands.processes() == []


@contextmanager
def dev(commands: Commands) -> Iterator[str]:
    port = ports.free()
    process = subprocess.Popen(
        [commands.environ["PYTHON"], "-m", "stack", "dev"],
        cwd=commands.checkout,
        env={**commands.environ, "PORT": str(port)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: process.poll() is not None or answers(f"{url}/readyz"))
        yield url
    finally:
        process.terminate()
        said = process.communicate(timeout=60)[0]
        print(said)


def test_a_changed_file_is_served_at_once(commands: Commands) -> None:
    with dev(commands) as url:
        page = commands.checkout / "app" / "templates" / "base.html"
        page.write_text(page.read_text().replace("</body>", "<!-- changed by hand --></body>"))
        wait_until(lambda: "changed by hand" in get(url)[1])
        code = commands.checkout / "app" / "__init__.py"
        code.write_text(code.read_text() + "\nimport this_module_does_not_exist\n")
        wait_until(lambda: not answers(url))


def test_its_redis_goes_with_it(commands: Commands) -> None:
    with dev(commands) as url:
        assert get(f"{url}/readyz")[0] == 200
        assert commands.make("up").returncode != 0
        assert "`make dev` is using the redis of this copy" in commands.make("up").stderr
    assert commands.processes() == []


def test_it_uses_the_redis_of_a_running_stack(commands: Commands) -> None:
    assert commands.make("up").returncode == 0
    with dev(commands) as url:
        assert get(f"{url}/readyz")[0] == 200
        assert len([line for line in commands.processes() if "redis-server" in line]) <= 1
    wait_until(lambda: get(f"{commands.url}/readyz")[0] == 200)


def test_a_taken_port_is_named(commands: Commands) -> None:
    done = commands.make("dev", PORT="http")
    assert "PORT='http' is not a port" in done.stderr
