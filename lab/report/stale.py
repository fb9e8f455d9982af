"""Which published pages are stale: what serves a request has changed since the commit of their run.

lab/README.md lists the pages with one word each. ``python3 -m lab pages`` writes the list, and so
does ``make report PUBLISH=1``.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

ROOMS = ("nginx", "uwsgi", "app", "redis")
CURRENT, STALE, UNTRUSTWORTHY = "current", "stale", "untrustworthy"
BEGIN, END = "<!-- pages: python3 -m lab pages -->", "<!-- end of pages -->"

_COMMIT = re.compile(r"^\| commit of the checkout \| ([0-9a-f]{7,40}) \|", re.MULTILINE)
# Documents and tests of a room change nothing that was measured, and neither do comments: uwsgi.ini
# gets the figures of the pages.
_MATTERS = (":!*.md", ":!**/tests/**")
_COMMENT = r"^[[:space:]]*[;#]"


def commit_of(page: str) -> str | None:
    """The commit of the page's run; None if the page names none, or one with changes."""
    found = _COMMIT.search(page)
    return found[1] if found else None


def state(page: str, checkout: Path) -> str:
    """One of three words. A commit that is unknown here is no proof of being current."""
    if "**UNTRUSTWORTHY" in page:
        return UNTRUSTWORTHY
    commit = commit_of(page)
    if commit is None:
        return STALE
    command = ["git", "-C", str(checkout), "diff", "--quiet", f"--ignore-matching-lines={_COMMENT}"]
    command += [commit, "--", *ROOMS, *_MATTERS]
    try:
        done = subprocess.run(command, capture_output=True, check=False)
    except OSError:
        return STALE
    return STALE if done.returncode else CURRENT


def table(results: Path, checkout: Path) -> str:
    """The list of the pages in Markdown, between its marks."""
    rows = [BEGIN, "", "| page | commit | state |", "|---|---|---|"]
    for file in sorted(results.glob("*.md")):
        page = file.read_text(encoding="utf-8")
        commit = commit_of(page) or "not named"
        rows.append(f"| [{file.stem}](results/{file.name}) | {commit} | {state(page, checkout)} |")
    return "\n".join([*rows, "", END])


def listed(readme: str) -> dict[str, str]:
    """Page → the word that *readme* has for it."""
    inside = readme.partition(BEGIN)[2].partition(END)[0]
    return dict(re.findall(r"^\| \[([a-z-]+)\]\(.*?\) \| .*? \| (\w+) \|$", inside, re.MULTILINE))


def write(readme: Path, results: Path, checkout: Path) -> None:
    """Bring the list in *readme* up to date."""
    text = readme.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    readme.write_text(before + table(results, checkout) + after, encoding="utf-8")
