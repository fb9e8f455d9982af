"""Where the files of an arm come from: a commit of this repository, or the working tree."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterable
from pathlib import Path

from stack.checkout import CHECKOUT

# The files as they are now, changes that are not committed included.
WORKING_TREE = "."

# What a figure depends on. Documents, tests, judges and reports may change while experiments run.
MEASURED = (
    *("app", "nginx", "uwsgi", "redis", "toggles", "stack", "loadtest", "requirements"),
    *("lab/measure", "lab/plan", "lab/servers", "lab/requirements", "lab/compare.py"),
    "lab/trial.py",
)

# Folders that are not part of the files.
_MADE = frozenset({".git", ".venv", "run", "results", "backups", "__pycache__"})


class NoSuchCommit(ValueError):
    """The text names what is missing."""


def resolve(ref: str, checkout: Path = CHECKOUT) -> str:
    """The hash of the commit *ref*; of the working tree, a hash of its files.

    Raises NoSuchCommit.
    """
    if ref == WORKING_TREE:
        return _hash_of(checkout, files(checkout))
    # Without `--end-of-options` a name that begins with a dash would be an option.
    try:
        done = _git(checkout, "rev-parse", "--verify", "-q", "--end-of-options", ref + "^{commit}")
    except OSError as error:
        raise NoSuchCommit(f"ref = {ref!r} needs git ({error.strerror})") from None
    if done.returncode:
        text = "is no commit, branch or tag of this repository"
        raise NoSuchCommit(f"ref = {ref!r} {text} ('.' is the working tree)")
    return done.stdout.decode().strip()


def files(checkout: Path = CHECKOUT) -> list[Path]:
    """The files of the working tree that git does not ignore, and the variables of the user's app.

    Without git, or outside of a repository, all but those that the stack makes.
    """
    if in_repository(checkout):
        done = _git(checkout, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
        found = {Path(name) for name in done.stdout.decode().split("\0") if name}
    else:
        every = (file.relative_to(checkout) for file in checkout.rglob("*"))
        found = {file for file in every if not _MADE.intersection(file.parts)}
    found |= {file.relative_to(checkout) for file in (checkout / "project").glob("*.env")}
    return sorted(file for file in found if (checkout / file).is_file())


def measured(checkout: Path = CHECKOUT) -> str:
    """A hash of the files that a figure depends on, as they are now."""
    return _hash_of(checkout, [name for name in files(checkout) if _is_measured(name)])


def is_changed(checkout: Path = CHECKOUT) -> bool:
    """Whether a file that a figure depends on differs from the last commit."""
    done = _git(checkout, "status", "--porcelain", "-z", "--", *MEASURED)
    # A line is two letters, a blank and the name.
    names = [line[3:] for line in done.stdout.decode().split("\0") if line]
    return any(_is_measured(Path(name)) for name in names)


def _is_measured(name: Path) -> bool:
    inside = any(name == Path(room) or Path(room) in name.parents for room in MEASURED)
    return inside and name.suffix != ".md" and "tests" not in name.parts


def in_repository(checkout: Path = CHECKOUT) -> bool:
    """Whether *checkout* is the top of a git repository that has a commit."""
    try:
        top = _git(checkout, "rev-parse", "--show-toplevel", "HEAD")
    except OSError:
        return False
    return top.returncode == 0 and Path(top.stdout.decode().split("\n")[0]) == checkout


def _hash_of(checkout: Path, names: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for name in names:
        content = (checkout / name).read_bytes()
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:40]


def _git(checkout: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["git", "-C", str(checkout), *arguments], capture_output=True, check=False
    )
