"""The generator ends with the lab, however that ends, and refuses foreign targets."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from lab.measure import load
from lab.measure.load_plan import Plan
from lab.tests.slow_server import CHECKOUT, Server, ignore, serving
from tests.loadtest.stand_in import environment

ELSEWHERE = load.Target(
    "arm", "http://192.0.2.1:8080", "/"
)  # an address for documentation, RFC 5737

LAB = """
import sys
from pathlib import Path
from lab.measure import load
target = load.Target("arm", sys.argv[1], "/")
load.closed(target, users=2, seconds=60, requests=None, warm_s=0, seed=1,
            folder=Path(sys.argv[2]), progress=lambda line: print(line, flush=True))
"""


# A shell starts `... &` with SIGINT ignored, and children inherit that.
IN_THE_BACKGROUND = ("sh", "-c", "trap '' INT; exec \"$@\"", "sh")


@pytest.mark.parametrize("how", [(), IN_THE_BACKGROUND], ids=["in front", "in the background"])
def test_ctrl_c_leaves_no_process(tmp_path: Path, how: Sequence[str]) -> None:
    with serving(Server(delay_s=0.01)) as server:
        lab, locust = _start(server, tmp_path, *how)
        lab.send_signal(signal.SIGINT)
        _, err = lab.communicate(timeout=20)
        assert lab.returncode != 0
        assert "KeyboardInterrupt" in err
        assert not locust.is_running()


def test_the_generator_of_a_killed_lab_ends(tmp_path: Path) -> None:
    with serving(Server(delay_s=0.01)) as server:
        lab, locust = _start(server, tmp_path)
        lab.kill()
        lab.communicate(timeout=20)
        locust.wait(timeout=20)


def test_an_open_loop_is_stopped_by_an_exception(tmp_path: Path) -> None:
    with serving(Server()) as server:
        loop = load.OpenLoop(
            server.target(),
            rate=20,
            seconds=60,
            warm_s=0,
            seed=1,
            folder=tmp_path,
            progress=ignore,
        )
        with pytest.raises(RuntimeError, match="the reload failed"), loop:
            loop.start()
            (locust,) = _generators(psutil.Process(), tmp_path)
            raise RuntimeError("the reload failed")
        assert not locust.is_running()


def test_a_failing_generator_reports_the_error_and_ends(tmp_path: Path) -> None:
    with (
        serving(Server()) as server,
        pytest.raises(load.LoadError, match="the generator failed:"),
    ):
        load.closed(
            server.target(pids={"app": ["not a pid"]}),
            users=1,
            seconds=60,
            requests=None,
            warm_s=0,
            seed=1,
            folder=tmp_path,
            progress=ignore,
        )
    assert not _generators(psutil.Process(), tmp_path)


def test_the_generator_refuses_foreign_targets(tmp_path: Path) -> None:
    plan = Plan(kind="closed", targets=[ELSEWHERE], users=1, seed=1, requests=1)
    plan.write(tmp_path / "load-plan.json")
    generator = CHECKOUT / "lab" / "measure" / "generator.py"
    locust = subprocess.run(
        [sys.executable, "-m", "locust", "-f", str(generator), "--headless"],
        env={
            **environment(),
            "PYTHONPATH": str(CHECKOUT),
            "LAB_LOAD_PLAN": str(tmp_path / "load-plan.json"),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert locust.returncode == 1
    assert "192.0.2.1 is not this machine" in locust.stderr
    assert not (tmp_path / "load-result.json").exists()


def test_the_lab_refuses_foreign_targets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ALLOW_REMOTE", raising=False)
    with pytest.raises(load.LoadError, match=r"arm: 192\.0\.2\.1 is not this machine"):
        load.closed(
            ELSEWHERE,
            users=1,
            seconds=1,
            requests=None,
            warm_s=0,
            seed=1,
            folder=tmp_path,
            progress=ignore,
        )


def _start(
    server: Server, folder: Path, *how: str
) -> "tuple[subprocess.Popen[str], psutil.Process]":
    """Start a lab that loads *server* for a minute; return it and its generator."""
    lab = subprocess.Popen(
        [*how, sys.executable, "-c", LAB, server.address, str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=CHECKOUT,
        env={**environment(), "PYTHONPATH": str(CHECKOUT)},
    )
    assert lab.stdout
    for line in lab.stdout:
        if line.strip() == "measuring":
            break
    (locust,) = _generators(psutil.Process(lab.pid), folder)
    assert locust.pid != os.getpid()
    time.sleep(0.2)
    return lab, locust


def _generators(parent: psutil.Process, folder: Path) -> list[psutil.Process]:
    found = []
    for process in parent.children():
        with suppress(psutil.ZombieProcess):
            if str(folder) in process.environ().get("LAB_LOAD_PLAN", ""):
                found.append(process)
    return found
