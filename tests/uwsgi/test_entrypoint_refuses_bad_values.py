"""A value that is not allowed ends the entrypoint with exit code 2, and nothing is started."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from stack import ports
from tests.servers.uwsgi import ENTRYPOINT, RELOAD

# Root may raise its limits.
WITHOUT_RIGHTS = "setpriv --bounding-set=-sys_resource" if os.geteuid() == 0 else ""


def run(
    tmp_path: Path, *arguments: str, before: tuple[str, ...] = (), **environ: str
) -> subprocess.CompletedProcess[str]:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("STACK_", "UWSGI_"))}
    return subprocess.run(
        [*before, ENTRYPOINT, *arguments],
        env={
            **inherited,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "APP_RUN": str(tmp_path / "run"),
            "SECRET_KEY_FILE": str(tmp_path / "key"),
            **environ,
        },
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("STACK_THUNDER_LOCK", "flase", "on or off"),
        ("STACK_THUNDER_LOCK", "", "is empty"),
        ("STACK_LAZY_APPS", "", "is empty"),
        ("STACK_PROCESSES", "0", "from 1 to 128"),
        ("STACK_THREADS", "65", "from 1 to 64"),
        ("STACK_THREADS", "two", "from 1 to 64"),
        ("STACK_HARAKIRI", "61", "from 1 to 60"),
        ("STACK_BUFFER_SIZE", "65536", "from 8192 to 65535"),
        ("STACK_APP", "app.wsgi", "module:callable"),
        ("STACK_THUNDERLOCK", "on", "did you mean STACK_THUNDER_LOCK?"),
        ("APP_LISTEN", "3031", "an address and a port"),
        ("METRICS_LISTEN", "0.0.0.0:99999", "an address and a port"),
    ],
)
def test_bad_value(tmp_path: Path, name: str, value: str, allowed: str) -> None:
    answer = run(tmp_path, **{name: value})
    assert answer.returncode == 2
    line = answer.stderr.strip()
    assert line.startswith("uwsgi/entrypoint: ")
    assert "\n" not in line, "one fault, one line"
    assert name in line
    assert allowed in line
    assert answer.stdout == ""
    assert list(tmp_path.iterdir()) == [], "no file was created"


def test_all_faults_are_reported_at_once(tmp_path: Path) -> None:
    answer = run(tmp_path, STACK_THREADS="0", STACK_LAZY_APPS="perhaps", APP_LISTEN="x")
    assert answer.returncode == 2
    assert len(answer.stderr.strip().splitlines()) == 3


def test_a_queue_that_the_kernel_does_not_allow(tmp_path: Path) -> None:
    allowed = int(Path("/proc/sys/net/core/somaxconn").read_text())
    if allowed >= 4096:  # the highest STACK_LISTEN: only a new network namespace has a lower limit
        wrapped = ["unshare", "--net", "sh", "-c"]
        script = f"sysctl -qw net.core.somaxconn=100 && exec {ENTRYPOINT}"
        answer = subprocess.run(
            [*wrapped, script], capture_output=True, text=True, timeout=30, check=False
        )
    else:
        answer = run(tmp_path, STACK_LISTEN=str(allowed + 1))
    assert answer.returncode == 2, answer
    assert "net.core.somaxconn" in answer.stderr
    assert "STACK_LISTEN" in answer.stderr


def test_more_files_than_the_machine_allows(tmp_path: Path) -> None:
    """A master that starts with a lower limit than it was given runs out of descriptors."""
    answer = run(tmp_path, before=("sh", "-c", f'ulimit -n 512 && exec {WITHOUT_RIGHTS} "$0"'))
    assert answer.returncode == 2, answer
    assert "STACK_MAX_FD='4096': must be at most 512, the hard limit" in answer.stderr


def test_an_unknown_argument(tmp_path: Path) -> None:
    answer = run(tmp_path, "--start")
    assert answer.returncode == 2
    assert "unknown arguments: --start" in answer.stderr


def test_an_app_that_cannot_be_imported_ends_it_with_22(tmp_path: Path) -> None:
    answer = run(
        tmp_path,
        STACK_APP="nowhere:application",
        APP_LISTEN=f"127.0.0.1:{ports.free()}",
        METRICS_LISTEN=f"127.0.0.1:{ports.free()}",
    )
    assert answer.returncode == 22
    assert "No module named 'nowhere'" in answer.stdout + answer.stderr


def test_reload_without_a_server(tmp_path: Path) -> None:
    answer = subprocess.run(
        [RELOAD],
        env={**os.environ, "APP_RUN": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert answer.returncode == 1
    assert "is it running?" in answer.stderr


def test_the_secret_key_is_created_once_and_private(tmp_path: Path) -> None:
    failing = {"STACK_APP": "nowhere:application", "APP_LISTEN": f"127.0.0.1:{ports.free()}"}
    failing["METRICS_LISTEN"] = f"127.0.0.1:{ports.free()}"
    run(tmp_path, **failing)
    key = tmp_path / "key"
    first = key.read_text()
    assert len(bytes.fromhex(first)) == 32
    assert key.stat().st_mode & 0o777 == 0o600
    run(tmp_path, **failing)
    assert key.read_text() == first
