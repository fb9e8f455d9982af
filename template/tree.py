"""Turns a tree of the template into a tree of the copy: a new name, and without some units.

Run as a program it does so in the current directory, so that `make template-diff` lets every
version of the template do it by its own rules: ``python -m template.tree NAME [UNIT …]``.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from toggles import TOGGLES

TEMPLATE_NAME = TOGGLES["STACK_NAME"].default
VERSION_FILE = ".template-version"
# The licence names its holder, and the results are records.
_NOT_RENAMED = ("LICENSE", VERSION_FILE)


@dataclass(frozen=True)
class Unit:
    """A part that a copy can leave out.

    Documents mark what holds only with it: ``<!-- demo -->`` … ``<!-- /demo -->``. What holds only
    in the template itself is marked ``template``.
    """

    # Deleted; the first one tells whether the unit is there.
    paths: tuple[str, ...]
    # By file: the beginnings of lines that are deleted.
    lines: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    # By file: the file of this folder that replaces it.
    replaced: Mapping[str, str] = field(default_factory=dict)


UNITS: Mapping[str, Unit] = {
    "certificates": Unit(paths=("certificates",), lines={".dockerignore": ("!certificates",)}),
    "lab": Unit(paths=("lab", "docs/tuning.md")),
    "faults": Unit(paths=("faults", "docs/faults.md")),
    "operate": Unit(paths=("operate", "docs/day-two.md")),
    "deploy": Unit(paths=("deploy",)),
    "sql": Unit(
        paths=("app/sql_users", "tests/sql", "requirements/sql.txt"),
        lines={"pyproject.toml": ("sql = [", "# What app/sql_users/ imports.")},
    ),
    "inside": Unit(
        paths=(
            "app/inside",
            "app/static/inside.css",
            "app/static/inside.js",
            "nginx/snippets/inside.conf",
            "tests/inside",
        ),
        lines={
            "app/__init__.py": ("if settings.inside", 'import_string("app.inside'),
            "nginx/nginx.conf": ("include snippets/inside.conf",),
        },
    ),
    "demo": Unit(
        paths=(
            "app/posts",
            "app/admin",
            "app/static/demo.css",
            "loadtest/posts.py",
            "tests/demo",
        ),
        lines={
            "app/__init__.py": ('"app.admin",', '"app.posts",'),
            "loadtest/locustfile.py": ("from loadtest.posts import",),
        },
        replaced={"app/front/templates/front/index.html": "index.html"},
    ),
}


def transform(tree: Path, name: str, left_out: Iterable[str]) -> None:
    """Make *tree* a copy called *name*, without the units in *left_out*.

    Raises LookupError for a unit that does not exist and, with the file's name, when an edit finds
    nothing to change.
    """
    for unit in left_out:
        if unit not in UNITS:
            raise LookupError(f"there is no unit {unit!r}: there are {', '.join(UNITS)}")
        if (tree / UNITS[unit].paths[0]).exists():
            _leave_out(tree, unit)
    shutil.rmtree(tree / "template")
    # It compares with a copy that leaves a unit out.
    (tree / "lab" / "experiments" / "inside.toml").unlink(missing_ok=True)
    for file in tree.rglob("*.md"):
        _edit(file, lambda text: _without_marked(text, "template"))
    for file in _text_files(tree):
        if file.relative_to(tree).as_posix() not in _NOT_RENAMED:
            _edit(file, lambda text: text.replace(TEMPLATE_NAME, name))
    # The documents that are generated from the table show the new default.
    write = [sys.executable, "-B", "-m", "toggles", "--write"]
    subprocess.run(write, cwd=tree, check=True, capture_output=True)


def _leave_out(tree: Path, unit: str) -> None:
    parts = UNITS[unit]
    for path in parts.paths:
        if not (tree / path).exists():
            raise LookupError(f"{path} does not exist")
        if (tree / path).is_dir():
            shutil.rmtree(tree / path)
        else:
            (tree / path).unlink()
    for name, beginnings in parts.lines.items():
        lines = (tree / name).read_text(encoding="utf-8").splitlines(keepends=True)
        kept = [line for line in lines if not line.strip().startswith(beginnings)]
        if len(lines) - len(kept) != len(beginnings):
            raise LookupError(f"{name} does not have one line for each of {beginnings}")
        (tree / name).write_text("".join(kept), encoding="utf-8")
    for name, replacement in parts.replaced.items():
        source = Path(__file__).with_name(replacement)
        (tree / name).write_text(source.read_text(encoding="utf-8"), encoding="utf-8")
    for file in tree.rglob("*.md"):
        _edit(file, lambda text: _without_references(_without_marked(text, unit), parts.paths))


def _without_marked(text: str, unit: str) -> str:
    """Delete what *unit* marks; lines that held nothing else go with it."""
    marked = rf"<!-- {unit} -->.*?<!-- /{unit} -->"
    text = re.sub(rf"^{marked}\n", "", text, flags=re.MULTILINE | re.DOTALL)
    return re.sub(rf" ?{marked}", "", text, flags=re.DOTALL)


def _without_references(text: str, paths: Iterable[str]) -> str:
    """Delete the code spans that name a file in *paths*, with the comma that joins them."""
    span = rf"`(?:{'|'.join(map(re.escape, paths))})(?:/[^`]*)?`"
    text = re.sub(rf"{span}, ?", "", text)
    return re.sub(rf",? ?{span}", "", text)


def _text_files(tree: Path) -> Iterable[Path]:
    for file in sorted(tree.rglob("*")):
        if file.is_file() and not file.is_symlink() and b"\0" not in file.read_bytes():
            yield file


def _edit(file: Path, change: Callable[[str], str]) -> None:
    text = file.read_text(encoding="utf-8")
    if (changed := change(text)) != text:
        file.write_text(changed, encoding="utf-8")


if __name__ == "__main__":
    try:
        transform(Path.cwd(), sys.argv[1], sys.argv[2:])
    except LookupError as error:
        sys.exit(f"template/tree.py: {error}")
