"""The changes of the template since a copy was made, as a patch for the copy.

The copy's `make template-diff` runs this here: only the template knows how a copy is made of it.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stack.checkout import CHECKOUT
from stack.errors import StackError
from template.git import extract, git, has_commit
from template.new import version_file
from template.tree import VERSION_FILE


def diff(environ: Mapping[str, str]) -> int:
    """Print a patch that brings the copy in COPY to HEAD, for `git apply --3way`."""
    copy = tomllib.loads(Path(environ["COPY"], VERSION_FILE).read_text(encoding="utf-8"))
    if not has_commit(CHECKOUT, copy["commit"]):
        raise StackError(
            f"{CHECKOUT} does not have the commit {copy['commit'][:10]} of {VERSION_FILE}",
            "fetch it there (a shallow clone: git fetch --unshallow), or name another TEMPLATE",
        )
    head = git(CHECKOUT, "rev-parse", "HEAD").strip()
    with tempfile.TemporaryDirectory() as scratch:
        for side, commit in (("a", copy["commit"]), ("b", head)):
            _write_as_copy(commit, Path(scratch, side), copy)
        # Exit code 1: they differ.
        patch = git(
            Path(scratch), "diff", "--no-index", "--no-prefix", "--binary", "--full-index",
            "a", "b", accept=(0, 1),
        )  # fmt: skip
    count = git(CHECKOUT, "rev-list", "--count", f"{copy['commit']}..{head}").strip()
    sys.stdout.write(patch)
    print(
        f"{count} commits of {copy['template']} since {copy['commit'][:10]}; apply the patch with\n"
        f"  make template-diff TEMPLATE={environ['TEMPLATE']} | git apply --3way",
        file=sys.stderr,
    )
    return 0


def _write_as_copy(commit: str, folder: Path, copy: Mapping[str, Any]) -> None:
    """Write *commit* as `make new` would have; its own rules say how, as units change."""
    extract(CHECKOUT, commit, folder)
    done = subprocess.run(
        [sys.executable, "-B", "-m", "template.tree", copy["name"], *copy["left_out"]],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise StackError(f"{commit[:10]} cannot be made a copy", log=done.stderr.strip())
    project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    text = version_file(project["version"], commit, copy["name"], copy["left_out"])
    (folder / VERSION_FILE).write_text(text, encoding="utf-8")
