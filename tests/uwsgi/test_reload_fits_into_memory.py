"""A second master is started only where the memory limit has room for it."""

import runpy
from pathlib import Path
from typing import Any

import pytest

from stack.checkout import CHECKOUT

MEMORY: dict[str, Any] = runpy.run_path(str(CHECKOUT / "uwsgi" / "memory.py"))


def group(folder: Path, limit: str, used: int, cache: int, *, version: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    prefix = "total_" if version == 1 else ""
    (folder / "memory.stat").write_text(
        f"anon 7\n{prefix}inactive_file {cache}\n{prefix}active_file 0\n"
    )
    names = {1: ("limit_in_bytes", "usage_in_bytes"), 2: ("max", "current")}[version]
    for name, value in zip(names, (limit, used), strict=True):
        (folder / f"memory.{name}").write_text(f"{value}\n")


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("visible", [True, False])
def test_the_tightest_limit_counts(tmp_path: Path, version: int, visible: bool) -> None:
    """*visible*: a container may see its own group as the root, under the host's name for it."""
    root = tmp_path / "cgroup"
    top = root / "memory" if version == 1 else root
    group(top / "site/app" if visible else top, "1000", 900, 200, version=version)
    own = tmp_path / "own"
    own.write_text("3:cpu:/x\n4:memory:/site/app\n" if version == 1 else "0::/site/app\n")
    assert MEMORY["left"](root, own) == (1000, 300)
    if visible:
        group(top / "site", "2000", 1900, 0, version=version)
        assert MEMORY["left"](root, own) == (2000, 100)


def test_no_limit(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.write_text("0::/site/app\n")
    group(tmp_path / "site/app", "max", 900, 200, version=2)
    assert MEMORY["left"](tmp_path, own) is None
