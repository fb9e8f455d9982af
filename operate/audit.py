"""``make audit``: asks OSV for the advisories of every pinned package, by pip-audit."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stack.checkout import CHECKOUT
from stack.errors import StackError
from stack.progress import Progress
from stack.project import PINS
from stack.venv import VirtualEnvironment, every_pin_file

OWN = Path("operate/requirements/audit.txt")
SERVICE = "https://api.osv.dev/v1/query"


def audit(environ: Mapping[str, str]) -> int:
    """Print the advisories. 0: there are none, 1: there are some.

    Raises StackError if the service (OSV_URL) does not answer for each package.
    """
    progress = Progress.to_terminal()
    venv = VirtualEnvironment(CHECKOUT, progress)
    venv.ensure([OWN])
    url = environ.get("OSV_URL", SERVICE)
    pins = [word for file in every_pin_file() for word in ("--requirement", str(file))]
    what = {"the pins": ["--disable-pip", "--require-hashes", *pins]}
    if _names_packages(CHECKOUT / PINS):
        # They need no hashes, so what is installed counts.
        venv.ensure([PINS])
        what["what is installed in .venv"] = ["--path", _site_packages(venv.python)]
    found = 0
    for name, arguments in what.items():
        progress.step(f"asking {url} about {name}")
        packages = _ask(venv.python, url, arguments)
        rows = rows_of(packages)
        found += len(rows)
        print(f"{name}: {len(packages)} packages, {len(rows)} advisories")
        for row in rows:
            print("  {:<26}{:<14}{:<22}{}".format(*row))
    return 1 if found else 0


def rows_of(packages: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, str, str]]:
    """Return package, version, advisory and the versions that have its fix.

    Raises StackError if one of *packages* was not looked up.
    """
    if left := [f"{p['name']} ({p['skip_reason']})" for p in packages if "skip_reason" in p]:
        raise StackError(f"not audited: {', '.join(left)}", "name a version that the index has")
    return sorted(
        {
            (p["name"], p["version"], v["id"], f"fixed in {', '.join(v['fix_versions']) or 'none'}")
            for p in packages
            for v in p["vulns"]
        }
    )


def _ask(python: Path, url: str, arguments: Sequence[str]) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as scratch:
        # A cache would answer for a service that is away.
        answer = Path(scratch, "answer.json")
        done = subprocess.run(
            [python, "-m", "pip_audit", "--vulnerability-service=osv", f"--osv-url={url}",
             "--format=json", f"--output={answer}", "--progress-spinner=off",
             f"--cache-dir={scratch}/cache", *arguments],
            cwd=CHECKOUT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        # pip-audit ends with 1 for advisories and for failures alike, but writes no answer then.
        if done.returncode not in {0, 1} or not answer.exists():
            last = done.stderr.strip().splitlines()[-1:]
            raise StackError(
                f"nothing was audited: {url} did not answer",
                "check the network, or name another OSV service in OSV_URL",
                log="\n".join(last),
            )
        packages: list[dict[str, Any]] = json.loads(answer.read_text())["dependencies"]
    if not packages:
        raise StackError("pip-audit looked at no package", "make pins")
    return packages


def _names_packages(file: Path) -> bool:
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    return re.search(r"^\s*[\w-]", text, re.MULTILINE) is not None


def _site_packages(python: Path) -> str:
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    return subprocess.check_output([python, "-I", "-c", code], text=True).strip()
