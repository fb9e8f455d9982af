"""The tables of a report as rows of text, the same in the page and the Markdown."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lab.judge.comparison import Comparison
from lab.judge.numbers import NONE, interval, number, ratio, with_unit
from lab.report import words
from lab.report.data import RunData

COMPARISONS = (
    "arm", "verdict", "ratio", "95 % interval", "n", "p (Holm)", "arm's mean",
    "baseline's mean", "baseline", "load", "metric",
)  # fmt: skip
PRIORITY = "generator's priority (nice)"
# Conditions whose key does not say what they are.
NAMES = {
    "capacity_rps": "capacity of the baseline, requests per second",
    "processes": "STACK_PROCESSES=auto",
    "memory_bytes": "memory",
    "virtual": "virtual machine",
    "load_average": "load average at the start",
    "stolen_since_boot": "CPU time stolen since boot",
    "pressure_avg10": "time that tasks waited for a CPU, last 10 s before the start",
    "quick": "quick run",
    "revision": "commit of the checkout",
    "tree": "hash of the files that figures depend on",
}
# The fields that describe a load of each kind.
_LOAD = {
    "rotation": ("path", "traffic", "expect", "users", "rounds", "slice", "eagain"),
    "open": ("path", "traffic", "expect", "rate", "seconds", "eagain"),
    "closed": ("path", "traffic", "locustfile", "expect", "users", "seconds", "requests", "eagain"),
    "reload": ("path", "expect", "how", "rate"),
}


@dataclass(frozen=True)
class Table:
    """Rows of text. `numbers` are the columns that are right-aligned."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    numbers: frozenset[int] = frozenset()


def comparisons(rows: Sequence[Comparison], trustworthy: bool) -> Table:
    found = [_comparison(row, trustworthy) for row in rows]
    return Table(COMPARISONS, found, frozenset(range(2, 8)))


def _comparison(one: Comparison, trustworthy: bool) -> tuple[str, ...]:
    return (
        arm_of(one),
        words.verdict_in_full(one, trustworthy),
        ratio(one.ratio),
        interval(one.low, one.high),
        str(one.n),
        words.p_value(one.p if one.p_holm is None else one.p_holm),
        with_unit(one.means["arm"], one.unit),
        with_unit(one.means["baseline"], one.unit),
        one.baseline,
        one.load,
        words.label(one.metric),
    )


def arm_of(one: Comparison) -> str:
    """The arm's name, with its role unless the name contains it."""
    return one.arm if one.role == "arm" or one.role in one.arm else f"{one.arm}, the {one.role}"


def without(table: Table, *names: str) -> Table:
    """The table without these columns."""
    kept = [index for index, name in enumerate(table.head) if name not in names]
    return Table(
        [table.head[index] for index in kept],
        [[row[index] for index in kept] for row in table.rows],
        frozenset(new for new, old in enumerate(kept) if old in table.numbers),
    )


def voids(run: RunData) -> Table:
    """Each void of each trial, by rule and time."""
    head = ("rule", "block", "arm", "load", "began", "spoils", "reason")
    found = [
        (void.rule, str(trial.block), trial.arm, trial.load, words.moment(trial.began),
         void.spoils, void.reason)
        for trial in run.trials
        for void in trial.voids
    ]  # fmt: skip
    return Table(head, sorted(found, key=lambda row: (row[0], row[4])), frozenset({1}))


def tallies(run: RunData) -> Table | None:
    """Failed requests by load and arm, in the trials without a void."""
    total: dict[tuple[str, str], float] = defaultdict(float)
    sent: dict[tuple[str, str], int] = defaultdict(int)
    for trial in run.trials:
        if "failed" in trial.figures and not trial.voids:
            total[trial.load, trial.arm] += trial.figures["failed"]
            sent[trial.load, trial.arm] += trial.requests
    rows = [
        (load, arm, f"{failed:.0f}", str(sent[load, arm])) for (load, arm), failed in total.items()
    ]
    return Table(("load", "arm", "failed", "requests"), rows, frozenset({2, 3})) if rows else None


def medians(run: RunData) -> list[tuple[str, Table]]:
    """For each load: arms by metrics, medians over the good trials."""
    found = []
    for load in run.loads:
        metrics = dict.fromkeys(
            metric for trial in run.trials if trial.load == load for metric in trial.figures
        )
        columns = {metric: run.medians(load, metric) for metric in metrics if metric != "failed"}
        columns = {metric: values for metric, values in columns.items() if values}
        rows = [
            (arm, *(number(values.get(arm)) for values in columns.values()))
            for arm in run.ordered(arm for values in columns.values() for arm in values)
        ]
        head = ("arm", *map(words.axis, columns))
        found.append((load, Table(head, rows, frozenset(range(1, len(head))))))
    return found


def claims(run: RunData) -> Table | None:
    rows = run.verdict.get("claims")
    if not rows:
        return None
    return Table(
        ("claim", "outcome", "why", "claimed", "ratio", "95 % interval", "n", "measured", "source"),
        [
            (
                row["says"],
                row["outcome"],
                row["why"],
                _text(row["claimed"]),
                ratio(row["ratio"]),
                interval(row["low"], row["high"]),
                _text(row["n"]),
                row["measured"],
                row["source"],
            )
            for row in rows
        ],
        frozenset({3, 4, 5, 6}),
    )


_SOURCES = ("ref", "env", "nginx", "python", "requirements", "setup")


# System calls that the table of WHY=1 lists: those of which the arms make the most.
_MOST_CALLS = 15


def why(run: RunData) -> Table | None:
    """What a request of each arm does, as WHY=1 found it."""
    found = run.why
    if not found:
        return None
    names = run.ordered(found)
    rows = [
        (what, *(number(found[arm]["per_request"].get(what)) for arm in names))
        for what in dict.fromkeys(key for arm in names for key in found[arm]["per_request"])
    ]
    calls: dict[str, float] = defaultdict(float)
    for arm in names:
        for call, count in found[arm]["calls"].items():
            calls[call] = max(calls[call], count)
    for call in sorted(calls, key=lambda call: -calls[call])[:_MOST_CALLS]:
        rows.append((f"{call}()", *(number(found[arm]["calls"].get(call, 0.0)) for arm in names)))
    head = ("per request, in the app's processes", *names)
    return Table(head, rows, frozenset(range(1, len(head))))


def arms(run: RunData) -> Table:
    """The arms as the experiment's file defines them."""
    rows = [
        (
            arm["name"],
            arm["role"],
            arm["server"],
            arm["against"] or NONE,
            ", ".join(
                [f"{key}={value}" for key, value in arm["settings"].items()]
                + [f"uwsgi.ini: {line}" for line in arm.get("ini", ())]
                + [f"{key}: {_text(arm[key])}" for key in _SOURCES if arm.get(key)]
            ),
        )
        for arm in run.plan.arms
    ]
    return Table(("arm", "role", "server", "baseline", "settings"), rows)


def loads(run: RunData) -> Table:
    rows = [
        (
            load["name"],
            load["kind"],
            ", ".join(
                f"{key} {_text(load[key])}"
                for key in _LOAD[load["kind"]]
                if load.get(key) not in (None, False, [])
            ),
        )
        for load in run.plan.loads
    ]
    return Table(("load", "kind", "in full"), rows)


def options(run: RunData) -> tuple[Table | None, Table | None]:
    """The options that the servers reported: those that differ between arms, and the others.

    An option that changed from start to start (a port) shows the number of its values.
    """
    reported: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for trial in run.trials:
        for option, value in trial.options.items():
            reported[option][trial.arm].add(str(value))
    ordered = run.ordered(arm for of_arms in reported.values() for arm in of_arms)

    def text(option: str, arm: str) -> str:
        values = reported[option].get(arm, set())
        if len(values) > 1:
            return f"({len(values)} values)"
        return next(iter(values), NONE)

    columns = {option: [text(option, arm) for arm in ordered] for option in sorted(reported)}
    differ = {option: values for option, values in columns.items() if len(set(values)) > 1}
    same = [(option, values[0]) for option, values in columns.items() if option not in differ]
    rows = [(arm, *(values[i] for values in differ.values())) for i, arm in enumerate(ordered)]
    return (
        Table(("arm", *differ), rows) if differ else None,
        Table(("option", "value in every arm"), same) if same else None,
    )


def conditions(run: RunData) -> Table:
    """The run and the machine; nested names are joined by dots."""
    plan = run.plan
    found = [("started", words.moment(plan.started))]
    if plan.finished:
        found.append(("finished", words.moment(plan.finished)))
    for key in ("runtime", "blocks", "quick", "seed", "capacity_rps"):
        if (value := getattr(plan, key)) is not None:
            found.append((NAMES.get(key, key), _text(value)))
    for key, value in _flat(plan.conditions):
        text = _text(value)
        if key == "memory_bytes":
            text = f"{float(value) / 2**30:.1f} GiB"
        elif key in ("stolen_since_boot", "pressure_avg10"):
            text = f"{float(value):.1%}"
        found.append((NAMES.get(key, key.replace("_", " ")), text))
    priorities: dict[int, dict[str, None]] = defaultdict(dict)
    for trial in run.trials:
        if trial.evidence.generator_nice is not None:
            priorities[trial.evidence.generator_nice][trial.load] = None
    if priorities:
        parts = (f"{nice} under {', '.join(names)}" for nice, names in sorted(priorities.items()))
        found.append((PRIORITY, "; ".join(parts)))
    return Table(("condition", "value"), found)


def servers(run: RunData) -> Table | None:
    rows = [(name, _text(value)) for name, value in _flat(run.plan.servers)]
    return Table(("server", "how it ran"), rows) if rows else None


def command(run: RunData) -> str:
    """The command that repeats the run with the same orders and arrivals."""
    plan = run.plan
    blocks = "auto" if plan.auto else plan.blocks
    if plan.refs:
        return f"{plan.refs} BLOCKS={blocks}{' QUICK=1' * plan.quick} SEED={plan.seed}"
    shipped = "lab/experiments/" in plan.file
    return (
        f"make compare EXPERIMENT={plan.experiment}{'' if shipped else '.toml'}"
        f" BLOCKS={blocks}{' QUICK=1' * plan.quick} RUNTIME={plan.runtime} SEED={plan.seed}"
    )


def _flat(value: object, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(inner, f"{prefix} · {key}" if prefix else str(key))
    elif value is not None:
        yield prefix, value


def budgets(rows: Sequence[Mapping[str, Any]]) -> Table:
    """*rows*: of judge/budgets.py."""
    return Table(
        ("budget", "outcome", "limit", "figure", "95 % interval", "n"),
        [
            (
                row["name"],
                ("met" if row["met"] else "undecided" if row["why"] else "missed")
                + ("" if row["controlled"] else ", not controlled"),
                f"{row['budget']:g} {row['unit']}".strip(),
                ratio(row["ratio"]),
                interval(row["low"], row["high"]),
                str(row["n"]),
            )
            for row in rows
        ],
        frozenset({2, 3, 4, 5}),
    )


def _text(value: object) -> str:
    if value is None:
        return NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return number(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={_text(one)}" for key, one in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(_text(one) for one in value)
    return str(value)
