"""`make test` lists the tests that the machine cannot run, and runs tests of time alone."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from stack.checkout import CHECKOUT

PARALLEL = ("-n", "2", "--dist", "loadgroup", "--no-loadscope-reorder")
CONFIGURATION = """
[tool.pytest.ini_options]
addopts = "--strict-markers -p no:cacheprovider"
markers = ["containers: -", "browser: -", "long: -", "quiet: -"]
"""
MODULE = """
import os, pathlib, time
import pytest

def note(name):
    begun = time.monotonic()
    time.sleep(0.3)
    with pathlib.Path("log").open("a") as log:
        log.write(f"{name} {os.environ.get('PYTEST_XDIST_WORKER')} {begun} {time.monotonic()}\\n")

@pytest.mark.containers
def test_container(): note("container")

def test_one(): note("plain")
def test_two(): note("plain")
def test_three(): note("plain")

@pytest.mark.quiet
def test_time(): note("quiet")
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").write_text(CONFIGURATION)
    for name in ("test_a.py", "test_b.py"):
        (tmp_path / name).write_text(MODULE)
    return tmp_path


def run(project: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run pytest there, on a machine without a docker command."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "tests.needs", *arguments],
        cwd=project,
        env={"PATH": os.fspath(project), "PYTHONPATH": os.fspath(CHECKOUT), **environ},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.parametrize("parallel", [(), PARALLEL], ids=["one by one", "parallel"])
def test_what_the_machine_lacks_is_listed_once(project: Path, parallel: tuple[str, ...]) -> None:
    done = run(project, *parallel)
    assert done.returncode == 0, done.stdout
    *_, left_out, closing = done.stdout.strip().splitlines()
    assert left_out == "left out: 2 tests that need containers: there is no docker command"
    assert re.match(r"=+ 8 passed", closing)
    assert done.stdout.count("left out") == 1


@pytest.mark.parametrize("parallel", [(), PARALLEL], ids=["one by one", "parallel"])
def test_with_all_demanded_it_fails(project: Path, parallel: tuple[str, ...]) -> None:
    done = run(project, *parallel, TEST_ALL="yes")
    assert done.returncode == 1
    assert "containers: there is no docker command" in done.stdout
    assert re.search(r"8 passed, 2 errors", done.stdout.strip().splitlines()[-1])


def test_a_test_of_time_has_no_other_beside_it(project: Path) -> None:
    done = run(project, *PARALLEL)
    assert done.returncode == 0, done.stdout
    lines = [line.split() for line in (project / "log").read_text().splitlines()]
    spans = [(name, float(begun), float(ended)) for name, _, begun, ended in lines]
    assert {worker for _, worker, *_ in lines} == {"gw0", "gw1"}
    assert [name for name, *_ in spans].count("quiet") == 2
    # A group has one worker, in whatever files its tests are.
    assert len({worker for name, worker, *_ in lines if name == "quiet"}) == 1
    for name, begun, ended in spans:
        if name == "quiet":
            together = [one for one in spans if one[1] < ended and one[2] > begun]
            assert together == [(name, begun, ended)]
