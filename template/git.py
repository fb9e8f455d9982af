"""The few git commands that copying needs."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from stack.errors import StackError


def git(folder: Path, *arguments: str, accept: tuple[int, ...] = (0,)) -> str:
    """Return the output of git in *folder*. Raises StackError for a code not in *accept*."""
    done = _run(["git", *arguments], folder)
    if done.returncode not in accept:
        raise StackError(f"`git {arguments[0]}` failed in {folder}", log=done.stderr.strip())
    return done.stdout


def has_commit(repository: Path, commit: str) -> bool:
    command = ["git", "cat-file", "-e", f"{commit}^{{commit}}"]
    return _run(command, repository).returncode == 0


def extract(repository: Path, commit: str, folder: Path) -> None:
    """Write the files of *commit* into *folder*, with modes 644 and 755."""
    folder.mkdir(parents=True)
    archive = ["git", "-c", "tar.umask=0022", "archive", "--format=tar", commit]
    with subprocess.Popen(
        archive, cwd=repository, env=_environment(), stdout=subprocess.PIPE
    ) as writer:
        done = subprocess.run(["tar", "-x"], cwd=folder, stdin=writer.stdout, check=False)
    if writer.returncode or done.returncode:
        raise StackError(f"{commit} of {repository} cannot be written to {folder}")


def first_commit(folder: Path, message: str, author: str) -> None:
    """Make *folder* a repository with one commit; *author* is used where git knows no user."""
    git(folder, "init", "--quiet", "--initial-branch=main")
    git(folder, "add", "--all")
    options = ["-c", "commit.gpgsign=false"]
    if _run(["git", "var", "GIT_AUTHOR_IDENT"], folder).returncode != 0:
        options += ["-c", f"user.name={author}", "-c", f"user.email={author}@localhost"]
    git(folder, *options, "commit", "--quiet", "--no-verify", f"--message={message}")


def _run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command, cwd=folder, env=_environment(), capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        raise StackError("git is not installed", "apt-get install git") from None


def _environment() -> Mapping[str, str]:
    """Without the variables that would point git at the repository of a hook that called this."""
    unset = {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY"}
    return {name: value for name, value in os.environ.items() if name not in unset}
