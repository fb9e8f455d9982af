"""The run as Markdown: for a pull request beside the page, and to be committed under docs/."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from lab.report import tables, words
from lab.report.data import HEADLINES, Run
from lab.report.pictures import draw
from lab.report.pictures.style import Picture
from lab.report.tables import Table

# A picture that is committed with every new run must stay small.
MOST_BYTES = 60_000

# Columns of the comparisons that a pull request needs.
_SHORT = (
    "arm",
    "against",
    "arm's median",
    "its baseline's",
    "ratio",
    "95 % interval",
    "n",
    "verdict",
)

# Directories that stand at the root of a machine: a path below them says where somebody's files
# are, and nothing of the experiment. Paths of requests begin otherwise.
_ROOTS = (
    "bin|boot|builds|dev|etc|github|home|lib|lib64|media|mnt|nix|opt|private|proc|root|run|sbin|srv"
    "|sys|tmp|usr|Users|var|work|workspace|workspaces"
)
_PATH = re.compile(rf"(?<![\w.:/-])/(?:{_ROOTS})(?:/[\w.@+~-]+)+/?")


def render(run: Run, pictures: Sequence[Picture], files: Mapping[str, str]) -> str:
    """The text; *files* are the pictures' places, name → relative path."""
    parts = [f"# {plain(run.experiment)}", ""]
    if run.question:
        parts += [f"**{plain(run.question)}**", ""]
    mark = "" if run.trustworthy else "❌ **UNTRUSTWORTHY: do not use these figures.** "
    parts += [f"{mark}{plain(run.answer)}", ""]
    parts += [
        f"Believed, because {plain(why)}." if run.trustworthy else plain(why) for why in run.why
    ]
    if run.plan.get("quick"):
        parts += ["", "A quick run: only large effects show."]
    arms = [one for one in run.primary if one.role == "arm"]
    controls = [one for one in run.primary if one.role != "arm"]
    if arms:
        one = arms[0]
        parts += ["", f"## {plain(words.short(one.metric))}, {plain(one.load)}", ""]
        if run.margin:
            parts += [
                f"Ratio of each arm to the arm it is compared with, {words.axis(one.metric)};"
                f" 95 % intervals over n blocks, each a fresh start; equivalent: inside"
                f" ±{100 * run.margin:.0f} %.",
                "",
            ]
        parts += [_table(_picked(tables.comparisons(arms)))]
    parts += _picture("forest", pictures, files)
    if controls:
        parts += ["", "## Controls", ""]
        parts += [
            "The twin is the baseline once more and must be equivalent; the canary has a known cost"
            " and must be found.",
            "",
            _table(_picked(tables.comparisons(controls))),
        ]
    if (claims := tables.claims(run)) is not None:
        parts += ["", "## Published claims", "", _table(claims)]
    rest = [picture for picture in pictures if picture.name != "forest" and picture.name in files]
    if rest:
        parts += ["", "## Pictures"]
        for picture in rest:
            parts += _picture(picture.name, pictures, files)
    chosen = {*HEADLINES, *(one.metric for one in run.primary)}
    others = [
        one
        for one in run.comparisons
        if not one.primary and one.role == "arm" and one.metric in chosen
    ]
    if others:
        parts += ["", "## Other figures", "", "<details><summary>", ""]
        parts += [
            f"{len(others)} comparisons; report.html has all {len(run.comparisons)}",
            "",
            "</summary>",
            "",
        ]
        parts += [_table(_picked(tables.comparisons(others), ("load", "metric"))), "", "</details>"]
    parts += ["", "## Voids", "", _voids(run), "", "## Conditions", "", _conditions(run)]
    parts += ["", "```sh", tables.command(run), "```", ""]
    return "\n".join(parts)


def publish(folder: Path, target: Path) -> Path:
    """Write *target*/<experiment>.md and its pictures beside it; return the Markdown's path.

    Made to be committed: nothing in it names the machine, its users or their directories. A picture
    above 60 KB is left out. Raises ReportError for a folder without a finished run.
    """
    run = Run.read(folder)
    target.mkdir(parents=True, exist_ok=True)
    stem = re.sub(r"[^\w.-]", "-", run.experiment)
    for old in target.glob(f"{stem}-*.svg"):
        if _ours(old, stem):
            old.unlink()
    pictures = draw(run)
    files = {}
    for picture in pictures:
        if picture.section:
            continue
        content = without_machine(picture.alone())
        if len(content.encode()) > MOST_BYTES:
            continue
        files[picture.name] = f"{stem}-{picture.name}.svg"
        (target / files[picture.name]).write_text(content, encoding="utf-8")
    path = target / f"{stem}.md"
    path.write_text(without_machine(render(run, pictures, files)), encoding="utf-8")
    return path


def without_machine(text: str) -> str:
    """*text* with every absolute path of a file cut down to the file's name."""
    return _PATH.sub(lambda found: found[0].rstrip("/").rpartition("/")[2], text)


def plain(text: str) -> str:
    """*text* as Markdown that shows it and does nothing else: no HTML, no table cell ended."""
    text = " ".join(text.split())
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|~])", r"\\\1", text)


def _ours(old: Path, stem: str) -> bool:
    """Whether it is a picture of this experiment, and not of one whose name begins alike."""
    names = "forest|slopes|wakeups|shapes|cost|latency|scalability|strip"
    return re.fullmatch(rf"{re.escape(stem)}-(?:{names})(?:-[\w-]+)?\.svg", old.name) is not None


def _picture(name: str, pictures: Sequence[Picture], files: Mapping[str, str]) -> list[str]:
    for picture in pictures:
        if picture.name == name and name in files:
            return [
                "",
                f"![{plain(picture.title)}]({files[name]})",
                "",
                f"*{plain(picture.title)}.* {plain(picture.caption)}",
            ]
    return []


def _picked(table: Table, more: Sequence[str] = ()) -> Table:
    """The columns that a narrow page has room for."""
    kept = (*_SHORT, *more)
    return tables.without(table, *(name for name in table.head if name not in kept))


def _table(table: Table) -> str:
    lines = [
        "| " + " | ".join(plain(cell) for cell in table.head) + " |",
        "|"
        + "|".join("--:" if i in table.numbers else "---" for i in range(len(table.head)))
        + "|",
    ]
    lines += ["| " + " | ".join(plain(cell) for cell in row) + " |" for row in table.rows]
    return "\n".join(lines)


def _voids(run: Run) -> str:
    rules = tables.void_by_rule(run)
    if not rules:
        return f"None of {len(run.trials)} trials."
    told = ", ".join(f"{plain(rule)} {number}" for rule, number in rules.items())
    voided = sum(bool(trial.voids) for trial in run.trials)
    return (
        f"{voided} of {len(run.trials)} trials: {told}. Measured again were those of them in which "
        "the primary figure was spoilt."
    )


def _conditions(run: Run) -> str:
    """In short; the machine's own name is not among them."""
    keys = (
        "started", "runtime", "blocks", "seed", "capacity_rps", "kernel", "architecture", "cpu",
        "cores", "memory_bytes", "virtual", "cgroup", "python", "revision",
        "stolen_since_boot",
    )  # fmt: skip
    wanted = {tables.NAMES.get(key, key) for key in keys} | {tables.PRIORITY}
    found = [
        (name, value)
        for name, value in tables.conditions(run).rows
        if name in wanted or name.startswith("versions ·")
    ]
    return _table(Table(("condition", "value"), found))
