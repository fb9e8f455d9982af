"""One rendered run for all modules of a process. Tests that count system calls need tracepoints."""

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
