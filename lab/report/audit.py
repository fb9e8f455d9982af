"""What an auditor needs beside the pages: the raw trials of each, and a list of all runs.

    results/raw/<experiment>.jsonl.xz   the plan in the first line, then every trial, void ones too
    results/ledger.csv                  a line per run, untrustworthy and interrupted ones too

A published page can be computed again from its raw file. The ledger shows what was not published:
somebody who runs an experiment until it pleases leaves a line for each try.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import lzma
from dataclasses import asdict
from pathlib import Path

from lab.report.data import RunData
from lab.report.redact import without_paths
from lab.runs import PLAN, TRIALS, VERDICT, ResultsError, Run

LEDGER = "ledger.csv"
RAW = "raw"
COLUMNS = (
    "experiment", "started", "finished", "commit", "blocks", "trials", "trustworthy", "headline",
    "published", "plan_sha256", "trials_sha256",
)  # fmt: skip


def keep(run: RunData, target: Path) -> None:
    """Write the raw file of *run* and bring the ledger up to date with all runs beside it."""
    raw = target / RAW
    raw.mkdir(exist_ok=True)
    lines = [json.dumps(asdict(run.plan), ensure_ascii=False)]
    lines += [trial.to_json() for trial in run.trials]
    text = without_paths("\n".join(lines)) + "\n"
    (raw / f"{run.experiment}.jsonl.xz").write_bytes(lzma.compress(text.encode()))
    rows = {(row["experiment"], row["started"]): row for row in read_ledger(target)}
    for folder in sorted(path.parent for path in run.folder.parent.glob(f"*/{PLAN}")):
        if not folder.is_symlink():
            row = _row(folder)
            rows.setdefault((row["experiment"], row["started"]), row).update(row)
    for row in rows.values():
        if row["experiment"] == run.experiment:
            row["published"] = "yes" if row["started"] == run.plan.started else "no"
    content = io.StringIO()
    writer = csv.DictWriter(content, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows[key] for key in sorted(rows))
    (target / LEDGER).write_text(without_paths(content.getvalue()), encoding="utf-8")


def read_ledger(target: Path) -> list[dict[str, str]]:
    """The rows of the ledger; [] if there is none yet."""
    try:
        with (target / LEDGER).open(encoding="utf-8", newline="") as stream:
            return list(csv.DictReader(stream))
    except FileNotFoundError:
        return []


def unpack(raw: Path, folder: Path) -> None:
    """Write plan.json and trials.jsonl of a raw file into *folder*, for `make report`."""
    plan, _, trials = lzma.decompress(raw.read_bytes()).decode().partition("\n")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / PLAN).write_text(plan + "\n", encoding="utf-8")
    (folder / TRIALS).write_text(trials, encoding="utf-8")


def _row(folder: Path) -> dict[str, str]:
    """A line of the ledger, from the files of a run. A run that was not judged has no headline."""
    try:
        run = Run.open(folder)
    except ResultsError:
        return {"experiment": folder.parent.name, "started": folder.name, "headline": "damaged"}
    verdict = folder / VERDICT
    found = json.loads(verdict.read_text(encoding="utf-8")) if verdict.is_file() else {}
    return {
        "experiment": run.plan.experiment,
        "started": run.plan.started,
        "finished": run.plan.finished or "interrupted",
        "commit": str(run.plan.conditions.get("revision") or ""),
        "blocks": str(run.plan.blocks),
        "trials": str(len(run.trials)),
        "trustworthy": ("yes" if found["trustworthy"] else "no") if found else "",
        "headline": str(found.get("headline", "")),
        "plan_sha256": hashlib.sha256(run.plan.toml.encode()).hexdigest(),
        "trials_sha256": hashlib.sha256((folder / TRIALS).read_bytes()).hexdigest(),
    }
