"""`make new DIR=../shop NAME=shop [LAB=no] [DEPLOY=no] …`: a copy, ready to change."""

from __future__ import annotations

import json
import os
import re
import shutil
import tomllib
from collections.abc import Mapping
from pathlib import Path

from stack.checkout import CHECKOUT
from stack.errors import StackError
from stack.progress import Progress
from template.git import extract, first_commit, git
from template.tree import TEMPLATE_NAME, UNITS, VERSION_FILE, transform
from toggles import TOGGLES, ToggleError

EXAMPLE = "make new DIR=../shop NAME=shop"
_SHOWN = 5


def new(environ: Mapping[str, str]) -> int:
    """Write the copy, with a history of one commit, and print what to do next."""
    _refuse_unknown(environ)
    folder = _folder(environ)
    name = _name(environ)
    left_out = [unit for unit in UNITS if not _wanted(environ, unit.upper())]
    commit = _commit()
    version = tomllib.loads((CHECKOUT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    progress = Progress.to_terminal()
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Under another name until it is complete: what fails leaves nothing.
    draft = folder.with_name(f".{folder.name}.new-{os.getpid()}")
    try:
        progress.step(f"copying {TEMPLATE_NAME} {version} ({commit[:10]})")
        extract(CHECKOUT, commit, draft)
        without = f", leaving out {' and '.join(left_out)}" if left_out else ""
        progress.step(f"setting the name {name}{without}")
        try:
            transform(draft, name, left_out)
        except LookupError as error:
            raise StackError(str(error), "adapt template/tree.py") from error
        (draft / VERSION_FILE).write_text(
            version_file(version, commit, name, left_out), encoding="utf-8"
        )
        progress.step("creating its history, of one commit")
        first_commit(draft, f"{name}, from {TEMPLATE_NAME} {version}\n\n{commit}", name)
        if folder.is_dir():
            folder.rmdir()
        draft.rename(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    _print_not_copied()
    print(
        f"\n{environ['DIR']} holds {name}.\n"
        "\nNext:\n"
        f"  cd {environ['DIR']}\n"
        "  make up                      start it\n"
        "  make test                    run its tests\n"
        "  docs/make-it-yours.md        read what is left to decide\n"
        f"  make template-diff           later: show what changed in {TEMPLATE_NAME} since"
    )
    return 0


def version_file(version: str, commit: str, name: str, left_out: list[str]) -> str:
    """Return the text of .template-version, which is TOML."""
    return (
        "# The template that this is a copy of. `make template-diff` reads it.\n"
        f'template = "{TEMPLATE_NAME}"\n'
        f'version = "{version}"\n'
        f'commit = "{commit}"\n'
        f'name = "{name}"\n'
        f"left_out = {json.dumps(left_out)}\n"
    )


def _refuse_unknown(environ: Mapping[str, str]) -> None:
    known = ("DIR", "NAME", *(unit.upper() for unit in UNITS))
    # make lists the variables of its command line behind ` -- `.
    arguments = re.split(r"(?<!\\)\s", environ.get("MAKEFLAGS", "").partition("-- ")[2])
    given = [word.partition("=")[0] for word in arguments if "=" in word]
    unknown = [name for name in given if name not in (*known, "PYTHON")]
    if unknown:
        raise StackError(f"unknown option {unknown[0]}", f"there are {', '.join(known)}")


def _folder(environ: Mapping[str, str]) -> Path:
    if not environ.get("DIR"):
        raise StackError("DIR is missing", EXAMPLE)
    folder = Path(environ["DIR"]).expanduser().resolve()
    if folder.is_relative_to(CHECKOUT):
        raise StackError(f"{folder} is inside this checkout", f"take one beside it: {EXAMPLE}")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise StackError(f"{folder} exists and is not empty", "take another DIR")
    return folder


def _name(environ: Mapping[str, str]) -> str:
    if not environ.get("NAME"):
        raise StackError("NAME is missing", EXAMPLE)
    try:
        name = TOGGLES["STACK_NAME"].parse("STACK_NAME", environ["NAME"])
    except ToggleError as error:
        raise StackError(str(error).removeprefix("STACK_")) from None
    if name == TEMPLATE_NAME:
        raise StackError(f"NAME={name} is the template's own", "take another: " + EXAMPLE)
    return name


def _wanted(environ: Mapping[str, str], option: str) -> bool:
    value = environ.get(option, "yes")
    if value not in ("yes", "no"):
        raise StackError(f"{option}={value!r} must be yes or no")
    return value == "yes"


def _commit() -> str:
    top = git(CHECKOUT, "rev-parse", "--show-toplevel", accept=(0, 128)).strip()
    if not top or Path(top).resolve() != CHECKOUT:
        raise StackError("this checkout has no git history", "clone the template with git")
    return git(CHECKOUT, "rev-parse", "HEAD").strip()


def _print_not_copied() -> None:
    """Only what is committed is copied, so that .template-version names exactly that."""
    lines = git(CHECKOUT, "status", "--porcelain").splitlines()
    if lines:
        names = ", ".join(line[3:] for line in lines[:_SHOWN])
        more = f" and {len(lines) - _SHOWN} more" if len(lines) > _SHOWN else ""
        print(f"\nNot copied, because it is not committed: {names}{more}")
