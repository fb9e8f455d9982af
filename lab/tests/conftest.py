"""What several modules share. Tests that count system calls need tracepoints."""

import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from lab import report
from lab.measure import eagain
from lab.tests import invented_runs
from tests import needs


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "tracepoints: needs perf and the kernel's tracepoints")
    needs.MISSING["tracepoints"] = cache(eagain.missing)


@pytest.fixture(scope="session")
def lock(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The folder of a run like `thunder-lock`, with its report, and its verdict. Only to read."""
    folder = tmp_path_factory.mktemp("lock")
    verdict = invented_runs.write_run(folder)
    report.write(folder)
    return folder, verdict


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A git repository with one commit, of files that figures depend on and of others."""

    def git(*words: str) -> None:
        who = ("-c", "user.name=x", "-c", "user.email=x@example.org")
        subprocess.run(["git", "-C", tmp_path, *who, *words], check=True, capture_output=True)

    git("init", "-q")
    for name in ("app/x.py", "lab/measure/x.py", "lab/report/x.py", "app/tests/x.py", "README.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("1\n")
    git("add", "-A")
    git("commit", "-qm", "x")
    return tmp_path
