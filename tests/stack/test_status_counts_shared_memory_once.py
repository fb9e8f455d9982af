"""The memory that `make status` shows is proportional: what workers share counts once."""

import os
from pathlib import Path

import pytest

from stack import processes
from stack.local.runtime import LocalRuntime
from tests.stack.checkouts import TINY_APP, own_name


def test_memory_is_shared_fairly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tiny.py").write_text(TINY_APP)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    environ = {"STACK_PORT": "0", "STACK_APP": "tiny:app", "STACK_NAME": own_name()}
    with LocalRuntime(environ) as stack:
        memory = {status.service: status.memory_bytes for status in stack.status()}
        rss = 0
        for process in processes.family(stack.main_pids()["app"]):
            pages = Path(f"/proc/{process.pid}/statm").read_text().split()[1]
            rss += int(pages) * os.sysconf("SC_PAGE_SIZE")
    assert 1_000_000 < memory["app"] < rss
    assert all(one > 100_000 for one in memory.values())
