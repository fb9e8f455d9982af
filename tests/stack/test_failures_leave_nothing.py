"""When `make up` fails it prints one line with reason and remedy, and leaves nothing behind."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from stack import ports
from tests.stack.checkouts import Commands, copy_checkout


@pytest.fixture
def commands(tmp_path: Path) -> Iterator[Commands]:
    commands = Commands(copy_checkout(tmp_path))
    yield commands
    assert commands.processes() == []
    assert not (commands.run_dir / "state.json").exists()


def complaint(done: "subprocess.CompletedProcess[str]") -> str:
    """The line that a user is meant to read."""
    assert done.returncode != 0, done.stdout
    assert "Traceback (most recent call last):\n  File" not in done.stderr.replace("    ", "", 1)
    lines = [line for line in done.stderr.splitlines() if line.startswith("make up: ")]
    assert len(lines) == 1, done.stderr
    return lines[0]


def test_taken_port(commands: Commands) -> None:
    with socket.create_server(("127.0.0.1", commands.port)):
        line = complaint(commands.make("up"))
    assert line.startswith(f"make up: port {commands.port} is taken (")
    assert "make up STACK_PORT=" in line
    offered = int(line.rpartition("=")[2])
    assert ports.try_bind("127.0.0.1", offered) is None


def test_address_of_another_machine(commands: Commands) -> None:
    line = complaint(commands.make("up", STACK_BIND="192.0.2.1"))
    assert "192.0.2.1 is not an address here" in line


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("STACK_THREADS", "0", "must be a whole number from 1 to 64"),
        ("STACK_THUNDER_LOCK", "flase", "must be on or off"),
        ("STACK_LISTEN", "", "is empty"),
        ("STACK_PORT", "0", "is not from 1 to 65535"),
        ("STACK_TREADS", "2", "did you mean STACK_THREADS?"),
        ("RUNTIME", "docker", "is neither compose nor local"),
    ],
)
def test_bad_setting(commands: Commands, variable: str, value: str, said: str) -> None:
    line = complaint(commands.make("up", **{variable: value}))
    assert variable in line
    assert said in line


def test_env_file_that_cannot_be_read(commands: Commands) -> None:
    (commands.checkout / ".env").write_text("STACK_THREADS=2\nSTACK_PROCESSES 4\n")
    line = complaint(commands.make("up"))
    fault = "is not NAME=value, or a quote is not closed: correct it"
    assert line == f"make up: .env, line 2, {fault}"


def test_app_that_does_not_exist(commands: Commands) -> None:
    done = commands.make("up", STACK_APP="nosuchmodule:app")
    assert "app does not start" in complaint(done)
    assert "No module named 'nosuchmodule'" in done.stderr
    assert ports.try_bind("127.0.0.1", commands.port) is None


def test_app_that_raises_at_import(commands: Commands) -> None:
    (commands.checkout / "broken.py").write_text("raise RuntimeError('no database configured')\n")
    done = commands.make("up", STACK_APP="broken:app")
    assert "app does not start" in complaint(done)
    assert "no database configured" in done.stderr


def test_app_that_takes_longer_than_its_start_may(commands: Commands) -> None:
    (commands.checkout / "slow.py").write_text("import time\ntime.sleep(60)\n")
    done = commands.make("up", STACK_APP="slow:app", STACK_START_TIMEOUT="4")
    assert "app runs but does not answer after 4 s (STACK_START_TIMEOUT)" in complaint(done)
    assert 'slow.py", line 2' in done.stderr, "the line at which it hangs"


def test_redis_that_cannot_start(commands: Commands) -> None:
    done = commands.make("up", REDIS_MAXMEMORY="much")
    assert "redis does not start" in complaint(done)
    assert "REDIS_MAXMEMORY='much'" in done.stderr


def test_interrupt_while_starting(commands: Commands) -> None:
    (commands.checkout / "slow.py").write_text("import time; time.sleep(60)\n")
    started = subprocess.Popen(
        [sys.executable, "-m", "stack", "up"],
        cwd=commands.checkout,
        env={**commands.environ, "STACK_APP": "slow:app"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert started.stdout is not None
    for line in started.stdout:
        if "starting app" in line:
            break
    started.terminate()
    _, said = started.communicate(timeout=120)
    assert started.returncode == 130
    assert "interrupted" in said


class TestWithoutPrograms:
    """As a user who may not install anything, on a PATH that holds only what is named."""

    @pytest.fixture
    def bare(self, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commands]:
        # Not under pytest's own directory, which is closed to other users.
        directory = Path(tempfile.mkdtemp(dir="/tmp"))
        directory.chmod(0o777)
        yield Commands(copy_checkout(directory, venv=False))
        shutil.rmtree(directory)

    def up(
        self, bare: Commands, *present: str, **environ: str
    ) -> "subprocess.CompletedProcess[str]":
        path = bare.checkout / "path"
        path.mkdir()
        for name in present:
            found = shutil.which(name, path="/usr/bin:/bin:/usr/sbin")
            assert found, f"the test needs {name} on this machine"
            (path / name).symlink_to(found)
        subprocess.run(["chmod", "-R", "a+rwX", bare.checkout], check=True)
        nobody = {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}
        return subprocess.run(
            ["/usr/bin/python3", "-m", "stack", "up"],
            cwd=bare.checkout,
            env={"PATH": str(path), "MAKELEVEL": "1", "STACK_PORT": str(bare.port), **environ},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            **nobody,
        )

    def test_missing_server(self, bare: Commands) -> None:
        line = complaint(self.up(bare, "nginx", "gcc", "apt-get"))
        assert line.startswith("make up: missing: redis-server")
        assert ": sudo apt-get install -y --no-install-recommends redis-server" in line
        assert "nginx" not in line

    def test_missing_compiler(self, bare: Commands) -> None:
        line = complaint(self.up(bare, "nginx", "redis-server", "apt-get"))
        assert "a C compiler" in line
        assert "gcc" in line.partition("sudo apt-get install")[2].split()
        assert not (bare.checkout / ".venv").exists()

    def test_all_that_is_missing_is_named_at_once(self, bare: Commands) -> None:
        line = complaint(self.up(bare, "apt-get"))
        command = line.partition("sudo apt-get install")[2].split()
        assert {"redis-server", "gcc"} <= set(command)

    def test_missing_venv_module(self, bare: Commands) -> None:
        site = bare.checkout / "without"
        site.mkdir()
        (site / "sitecustomize.py").write_text("import sys; sys.modules['ensurepip'] = None\n")
        done = self.up(bare, "nginx", "redis-server", "gcc", "apt-get", PYTHONPATH=str(site))
        line = complaint(done)
        assert "venv and ensurepip" in line
        assert "-venv" in line.rpartition("install")[2]

    def test_no_docker_means_local_and_says_so(self, bare: Commands) -> None:
        done = self.up(bare, "nginx", "apt-get")
        assert "Runtime: local, because there is no docker command here" in done.stdout


def test_old_python_gets_a_sentence() -> None:
    # No Python that old is at hand: the file that it would read first decides, given its version.
    text = Path("stack/__init__.py").read_text()
    program = f"import sys\nsys.version_info = (3, 9, 2)\nexec({text!r})"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "this is Python 3.9; the stack needs 3.11 or newer" in done.stderr
    assert "Traceback" not in done.stderr
