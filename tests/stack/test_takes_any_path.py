"""A checkout may have a long path or one with blanks, which unix sockets and nginx reject."""

import shutil
from contextlib import suppress
from pathlib import Path

import pytest

from tests.stack.checkouts import TINY_APP, Commands, copy_checkout, get


@pytest.mark.parametrize("where", ["x" * 150, "my projects (50% done)"])
def test_up_reload_and_down(tmp_path: Path, where: str) -> None:
    commands = Commands(copy_checkout(tmp_path / where), STACK_APP="tiny:app")
    (commands.checkout / "tiny.py").write_text(TINY_APP)
    done = commands.make("up")
    try:
        assert done.returncode == 0, done.stdout + done.stderr
        assert get(commands.url)[0] == 200
        assert commands.make("status").returncode == 0
        reloaded = commands.make("reload")
        assert reloaded.returncode == 0, reloaded.stdout + reloaded.stderr
        for link in links_of(commands):
            shutil.rmtree(link)  # as a program does that cleans /tmp
            status = commands.make("status")
            assert f"{link}/run was deleted while the stack" in status.stderr
            assert "Traceback" not in status.stderr
    finally:
        assert commands.make("down").returncode == 0
    assert commands.processes() == []
    assert links_of(commands) == []


def links_of(commands: Commands) -> list[Path]:
    found = []
    for link in Path("/tmp").glob("stack-*"):
        with suppress(OSError):  # of another stack, which is gone by now
            if commands.name in str((link / "run").readlink()):
                found.append(link)
    return found
