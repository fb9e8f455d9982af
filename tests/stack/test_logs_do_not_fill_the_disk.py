"""A log that is too large is truncated while its service writes; a follower misses nothing."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from stack.checkout import CHECKOUT
from stack.local import rotate
from stack.local.runtime import LocalRuntime
from tests.stack.checkouts import TINY_APP, get, own_name
from tests.waiting import wait_until


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalRuntime]:
    (tmp_path / "tiny.py").write_text(TINY_APP)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    environ = {"STACK_PORT": "0", "STACK_APP": "tiny:app", "STACK_NAME": own_name()}
    with LocalRuntime(environ) as stack:
        yield stack


def test_a_running_services_log_is_cut_and_goes_on(stack: LocalRuntime) -> None:
    log = stack.run_dir / "logs" / "nginx.log"
    show = "import sys, pathlib; from stack import logs;"
    show += "logs.show(pathlib.Path(sys.argv[1]), ['nginx'], follow=True)"
    command = [sys.executable, "-c", show, str(log.parent)]
    with subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True) as follower:
        said: list[str] = []
        assert follower.stdout is not None
        threading.Thread(target=said.extend, args=(follower.stdout,), daemon=True).start()
        get(f"{stack.address()}/before")
        wait_until(lambda: any("/before" in line for line in said))
        with log.open("ab") as stream:
            stream.write(b"x" * 99 + b"\n" + b"y" * rotate.MAX_BYTES + b"\n")
        wait_until(lambda: log.stat().st_size < rotate.MAX_BYTES)
        get(f"{stack.address()}/after")
        wait_until(lambda: any("/after" in line for line in said))
        follower.terminate()
    assert "/after" in log.read_text()
    assert "/before" in log.with_name("nginx.log.1").read_text()
    assert log.stat().st_size < 100_000


def test_only_so_many_are_kept(tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    for generation in range(6):
        log.write_text(f"{generation}" * 200)
        rotate.rotate(log, max_bytes=100)
        assert log.read_text() == ""
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "app.log", "app.log.1", "app.log.2", "app.log.3",
    ]  # fmt: skip
    assert [log.with_name(f"app.log.{n}").read_text()[0] for n in (1, 2, 3)] == ["5", "4", "3"]


def test_a_small_log_is_left_alone(tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    log.write_text("x" * 100)
    rotate.rotate(log, max_bytes=100)
    assert [p.name for p in tmp_path.iterdir()] == ["app.log"]
