"""Writes the outcomes as JSON, and as a table in Markdown."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from faults.catalogue import FAULTS
from faults.trial import Outcome
from stack.checkout import CHECKOUT
from stack.errors import StackError

DOCUMENT = CHECKOUT / "docs" / "faults.md"
HEAD = ("fault", "what users see", "back after", "lost", "how one sees it", "run")
LONGEST_LINE = 110


def write(folder: Path, outcomes: Sequence[Outcome], facts: Mapping[str, str]) -> None:
    """Write faults.json and faults.md; *facts* say when and on what the run was made."""
    folder.mkdir(parents=True, exist_ok=True)
    document = {"facts": dict(facts), "rows": [outcome.as_json() for outcome in outcomes]}
    text = json.dumps(document, indent=2, ensure_ascii=False)
    (folder / "faults.json").write_text(f"{text}\n", encoding="utf-8")
    (folder / "faults.md").write_text(markdown(outcomes, facts), encoding="utf-8")


def markdown(outcomes: Sequence[Outcome], facts: Mapping[str, str]) -> str:
    said = ", ".join(f"{name} {value}" for name, value in facts.items())
    lines = [f"{said}.", "", _row(HEAD), _row(["---"] * len(HEAD))]
    lines += [_row(cells(outcome)) for outcome in outcomes]
    return "\n".join(lines) + "\n"


def publish(
    outcomes: Sequence[Outcome], kind: str, during: str = "", document: Path = DOCUMENT
) -> None:
    """Put the rows of *outcomes* into their table in *document*, and keep the other rows."""
    name = f"{kind} {during}".strip()
    begin, end = f"<!-- table {name} -->\n", f"<!-- /table {name} -->"
    before, _, rest = document.read_text(encoding="utf-8").partition(begin)
    old, found, after = rest.partition(end)
    if not found:
        raise StackError(f"{document} has no place for a table: {begin.strip()}")
    rows = {row[1]: row[0] for row in re.finditer(r"^\| \*\*([\w-]+)\*\*.*\n", old, re.MULTILINE)}
    rows |= {outcome.fault: f"{_row(cells(outcome))}\n" for outcome in outcomes}
    table = "".join(rows[name] for name in FAULTS if name in rows)
    head = f"{_row(HEAD)}\n{_row(['---'] * len(HEAD))}\n"
    document.write_text(f"{before}{begin}{head}{table}{found}{after}", encoding="utf-8")


def cells(outcome: Outcome) -> list[str]:
    fault = FAULTS[outcome.fault]
    first = f"**{fault.name}**: {fault.what}"
    if outcome.missing:
        return [first, f"not tried: {outcome.missing}", "", "", f"alert {fault.alert}", outcome.run]
    seen = [seen_by_users(outcome), *outcome.notes]
    if outcome.swap:
        seen.append(f"the {outcome.during}: {outcome.swap}")
    seen += [f"**broken: {broken}**" for broken in outcome.broken]
    line = shown(outcome.log, fault.log[1]).replace("`", "'")
    sign = [f"`{fault.log[0]}`: `{line}`"] if line else []
    sign.append(f"alert {fault.alert}")
    lost = f"{len(outcome.lost) or 'nothing'} of {outcome.acknowledged}"
    if fault.restores:
        lost = "what is newer than the backup"
    return [first, "; ".join(seen), f"{outcome.back_s:.1f} s", lost, "; ".join(sign), outcome.run]


def shown(line: str, pattern: str) -> str:
    """Return the part of *line* around what *pattern* matches, without the copy's directory."""
    line = re.sub(r"/tmp/[\w-]+/", "…/", line)  # noqa: S108
    found = re.search(pattern, line)
    if found is None or len(line) <= LONGEST_LINE:
        return line[:LONGEST_LINE]
    begin = max(0, min(found.start() - 40, len(line) - LONGEST_LINE))
    part = line[begin : begin + LONGEST_LINE]
    return f"{'…' if begin else ''}{part}{'…' if begin + LONGEST_LINE < len(line) else ''}"


def seen_by_users(outcome: Outcome) -> str:
    kinds = ", ".join(f"{number} with {what}" for what, number in outcome.by_outcome.items())
    failed = f"{outcome.failed} failed ({kinds})" if outcome.failed else "0 failed"
    waits = f"longest wait {outcome.longest_s:.1f} s"
    return f"{failed} of {outcome.requests} requests, {waits}"


def _row(columns: Sequence[str]) -> str:
    return "| " + " | ".join(text.replace("|", "\\|") for text in columns) + " |"
