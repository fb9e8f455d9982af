"""Tests of the lab that count system calls need tracepoints."""

from functools import cache

import pytest

from lab.measure import eagain
from tests import needs


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "tracepoints: needs perf and the kernel's tracepoints")
    needs.MISSING["tracepoints"] = cache(eagain.missing)
