"""report.md, for a pull request, and the pages under lab/results."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from lab.judge.comparison import Comparison
from lab.report import audit, tables, words
from lab.report.data import HEADLINES, RunData
from lab.report.pictures import draw
from lab.report.pictures.style import Picture
from lab.report.redact import without_paths
from lab.report.tables import Table

# Every published run commits its pictures, so they have to be small.
MOST_BYTES = 60_000

CONTROLS = (
    "The twin repeats the baseline and must be equivalent; the canary has a known cost and must be"
    " found."
)
BUDGETS = "A budget is met if the whole interval keeps it."
_CONDITIONS = (
    "started", "runtime", "blocks", "seed", "capacity_rps", "kernel", "architecture", "cpu",
    "cores", "processes", "memory_bytes", "virtual", "cgroup", "python", "revision",
    "stolen_since_boot",
)  # fmt: skip


def summary(run: RunData) -> str:
    """The result in a few lines, for a pull request or a chat."""
    verdict = run.verdict
    lines = [f"**{plain(verdict['question'])}** {plain(verdict['headline'])}", ""]
    if run.trustworthy:
        lines += [f"{plain(verdict['certainty'])} The controls passed."]
    else:
        lines += [f"Do not use this run: {plain(verdict['why'])}."]
    revision = run.plan.conditions.get("revision")
    at = f" at commit {str(revision).replace('-dirty', ' with changes')}" if revision else ""
    return "\n".join([*lines, f"`{tables.command(run)}`{at}"])


def comment(run: RunData) -> str:
    """The result of two commits, for their pull request."""
    refs = run.plan.conditions.get("refs") or {}
    commits = ", ".join(
        f"`{ref.replace('`', '')}` is {commit[:12]}" for ref, commit in refs.items()
    )
    main = [one for one in run.primary if one.role == "arm"]
    others = [
        one
        for one in run.comparisons
        if one.role == "arm" and one.metric == run.verdict["primary"]["metric"] and not one.primary
    ]
    parts = [summary(run), "", f"{commits}.", "", _comparisons(main, run.trustworthy, "metric")]
    if others:
        parts += ["", _comparisons(others, run.trustworthy, "metric")]
    return "\n".join([*parts, ""])


def render(run: RunData, pictures: Sequence[Picture], files: Mapping[str, str]) -> str:
    """The text; *files*: picture → its relative path, for the pictures to show."""
    verdict = run.verdict
    mark = "" if run.trustworthy else "❌ **UNTRUSTWORTHY: do not use these figures.** "
    parts = [f"# {plain(run.experiment)}", "", f"**{plain(verdict['question'])}**", ""]
    if run.trustworthy:
        parts += [f"**{plain(verdict['headline'])}** {plain(verdict['certainty'])}", ""]
    parts += [f"{mark}{plain(verdict['answer'])}"]
    if run.trustworthy:
        parts += ["", f"Controls: {plain(verdict['why'])}."]
    if run.plan.quick:
        parts += ["", "A quick run: it finds only large effects."]
    main = [one for one in run.primary if one.role == "arm"]
    controls = [one for one in run.primary if one.role != "arm"]
    if main:
        parts += ["", f"## {plain(words.heading(main[0].metric, main[0].load))}", ""]
        parts += [
            f"Ratios of {plain(words.axis(main[0].metric))}, with 95 % intervals over n blocks;"
            " each block is a fresh start. Means are geometric, as the ratio is."
            f" Equivalent: within ±{verdict['margin']:.0%}.",
            "",
            _comparisons(main, run.trustworthy, "load", "metric"),
        ]
    shown = [picture for picture in pictures if picture.name in files]
    for picture in shown:
        if picture.name == "forest":
            parts += _picture(picture, files)
    if controls:
        parts += [
            "",
            "## Controls",
            "",
            CONTROLS,
            "",
            _comparisons(controls, run.trustworthy, "load", "metric"),
        ]
    if (claims := tables.claims(run)) is not None:
        parts += ["", "## Published claims", "", _table(claims)]
    if budgets := verdict.get("budgets"):
        parts += ["", "## Budgets", "", BUDGETS, "", _table(tables.budgets(budgets))]
    parts += ["", "## Pictures"]
    for picture in shown:
        if picture.name != "forest":
            parts += _picture(picture, files)
    chosen = {*HEADLINES, *(one.metric for one in run.primary)}
    others = [
        one
        for one in run.comparisons
        if not one.primary and one.role == "arm" and one.metric in chosen
    ]
    if others:
        summary = f"{len(others)} comparisons; report.html has all {len(run.comparisons)}"
        parts += ["", "## Other figures", "", "<details><summary>", "", summary, "", "</summary>"]
        parts += ["", _comparisons(others, run.trustworthy), "", "</details>"]
    parts += ["", "## Voids", "", _voids(run), "", "## Conditions", "", _conditions(run)]
    parts += ["", "```sh", tables.command(run), "```", ""]
    return "\n".join(parts)


def publish(folder: Path, target: Path) -> Path:
    """Write *target*/<experiment>.md, its pictures and its raw data; return the Markdown's path.

    The files are committed, so they do not name the machine, its users or their directories. A
    picture above 60 KB is left out. Raises ReportError for a folder without a judged run.
    """
    run = RunData.read(folder)
    target.mkdir(parents=True, exist_ok=True)
    stem = re.sub(r"[^\w.-]", "-", run.experiment)
    path = target / f"{stem}.md"
    if path.is_file():
        for old in re.findall(r"\]\(([\w.-]+\.svg)\)", path.read_text(encoding="utf-8")):
            (target / old).unlink(missing_ok=True)
    pictures = draw(run)
    files = {}
    for picture in pictures:
        content = without_paths(picture.svg)
        if not picture.section and len(content.encode()) <= MOST_BYTES:
            files[picture.name] = f"{stem}-{picture.name}.svg"
            (target / files[picture.name]).write_text(content, encoding="utf-8")
    path.write_text(without_paths(render(run, pictures, files)), encoding="utf-8")
    audit.keep(run, target)
    return path


def plain(text: str) -> str:
    """*text* escaped for Markdown: no HTML, no formatting, no end of a table's cell."""
    text = " ".join(text.split())
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|~])", r"\\\1", text)


def _picture(picture: Picture, files: Mapping[str, str]) -> list[str]:
    title = plain(picture.title)
    text = f"*{title}.* {plain(picture.caption)}"
    return ["", f"![{title}]({files[picture.name]})", "", text]


def _comparisons(rows: Sequence[Comparison], trustworthy: bool, *hidden: str) -> str:
    return _table(tables.without(tables.comparisons(rows, trustworthy), "p (Holm)", *hidden))


def _table(table: Table) -> str:
    marks = ("--:" if index in table.numbers else "---" for index in range(len(table.head)))
    lines = ["| " + " | ".join(map(plain, table.head)) + " |", "|" + "|".join(marks) + "|"]
    lines += ["| " + " | ".join(map(plain, row)) + " |" for row in table.rows]
    return "\n".join(lines)


def _voids(run: RunData) -> str:
    rules = run.verdict["void_by_rule"]
    if not rules:
        return f"None of {len(run.trials)} trials."
    counts = ", ".join(f"{plain(rule)} {count}" for rule, count in rules.items())
    voided = sum(bool(trial.voids) for trial in run.trials)
    return (
        f"{voided} of {len(run.trials)} trials: {counts}. Trials whose primary figure was spoilt "
        "were repeated."
    )


def _conditions(run: RunData) -> str:
    """Without the machine's name."""
    wanted = {tables.NAMES.get(key, key) for key in _CONDITIONS} | {tables.PRIORITY}
    found = [
        row
        for row in tables.conditions(run).rows
        if row[0] in wanted or row[0].startswith("versions ·")
    ]
    return _table(Table(("condition", "value"), found))
