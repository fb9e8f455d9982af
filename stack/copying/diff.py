"""`make template-diff TEMPLATE=../flask-uwsgi-stack`: the template's changes since the copy."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stack.checkout import CHECKOUT
from stack.copying.git import extract, git, has_commit
from stack.copying.new import version_file
from stack.copying.tree import VERSION_FILE
from stack.errors import StackError


def template_diff(environ: Mapping[str, str]) -> int:
    """Print a patch that brings this copy to the HEAD of TEMPLATE, for `git apply --3way`."""
    file = CHECKOUT / VERSION_FILE
    if not file.exists():
        raise StackError(f"there is no {VERSION_FILE}", "only a copy by `make new` has one")
    copy = tomllib.loads(file.read_text(encoding="utf-8"))
    template = _template(environ, copy["template"])
    if not has_commit(template, copy["commit"]):
        raise StackError(
            f"{template} does not have the commit {copy['commit'][:10]} of {VERSION_FILE}",
            "fetch it there (a shallow clone: git fetch --unshallow), or name another TEMPLATE",
        )
    head = git(template, "rev-parse", "HEAD").strip()
    with tempfile.TemporaryDirectory() as scratch:
        for side, commit in (("a", copy["commit"]), ("b", head)):
            _write_as_copy(template, commit, Path(scratch, side), copy)
        # Exit code 1: they differ.
        patch = git(
            Path(scratch), "diff", "--no-index", "--no-prefix", "--binary", "--full-index",
            "a", "b", accept=(0, 1),
        )  # fmt: skip
    count = git(template, "rev-list", "--count", f"{copy['commit']}..{head}").strip()
    sys.stdout.write(patch)
    print(
        f"{count} commits of {copy['template']} since {copy['commit'][:10]}; apply the patch with\n"
        f"  make template-diff TEMPLATE={environ['TEMPLATE']} | git apply --3way",
        file=sys.stderr,
    )
    return 0


def _template(environ: Mapping[str, str], name: str) -> Path:
    if not environ.get("TEMPLATE"):
        raise StackError(
            "TEMPLATE is missing", f"clone {name}, then make template-diff TEMPLATE=../{name}"
        )
    template = Path(environ["TEMPLATE"]).expanduser().resolve()
    if not (template / ".git").exists():
        raise StackError(f"{template} is not a git checkout", f"clone {name}, and name its folder")
    return template


def _write_as_copy(template: Path, commit: str, folder: Path, copy: Mapping[str, Any]) -> None:
    """Write *commit* as `make new` would have; its own rules say how, as units change."""
    extract(template, commit, folder)
    done = subprocess.run(
        [sys.executable, "-B", "-m", "stack.copying.tree", copy["name"], *copy["left_out"]],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise StackError(f"{commit[:10]} cannot be made a copy", log=done.stderr.strip())
    project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    text = version_file(
        copy["template"], project["version"], commit, copy["name"], copy["left_out"]
    )
    (folder / VERSION_FILE).write_text(text, encoding="utf-8")
