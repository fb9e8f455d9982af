"""A checkout with core.autocrlf=true, the default of Git for Windows, has scripts that start."""

import os
import subprocess
from pathlib import Path

from tests.stack.checkouts import copy_checkout


def test_no_file_of_a_clone_has_crlf(tmp_path: Path) -> None:
    copy_checkout(tmp_path / "here", venv=False)
    environ = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull}

    def git(*arguments: str) -> str:
        command = ["git", "-c", "user.name=x", "-c", "user.email=x@example.org", *arguments]
        return subprocess.run(
            command, cwd=tmp_path, env=environ, check=True, capture_output=True, text=True
        ).stdout

    git("init", "--quiet", "here")
    git("-C", "here", "add", "--all")
    git("-C", "here", "commit", "--quiet", "--message=all")
    git("clone", "--quiet", "--config", "core.autocrlf=true", "here", "there")
    listed = git("-C", "there", "ls-files", "--eol").splitlines()
    assert len(listed) > 100
    assert [line for line in listed if "w/crlf" in line or "w/mixed" in line] == []
