"""The tables of a report as rows of text: the page and the Markdown show the same ones."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lab.report import words
from lab.report.data import Comparison, Run

COMPARISONS = (
    "arm",
    "against",
    "load",
    "metric",
    "arm's median",
    "its baseline's",
    "ratio",
    "95 % interval",
    "n",
    "p (Holm)",
    "verdict",
)


# What conditions are called, where their key does not say it.
NAMES = {
    "capacity_rps": "capacity of the baseline, requests a second",
    "memory_bytes": "memory",
    "virtual": "virtual machine",
    "load_average": "load average at the start",
    "stolen_since_boot": "CPU time stolen since boot",
    "pressure_avg10": "time that tasks waited for a CPU, last 10 s before the start",
    "quick": "quick run",
    "revision": "commit of the checkout",
}
PRIORITY = "generator's priority (nice)"


@dataclass(frozen=True)
class Table:
    """Rows of text under a heading. `numbers` are the columns that are set flush right."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    numbers: frozenset[int] = frozenset()


def comparison(one: Comparison) -> tuple[str, ...]:
    baseline, arm = one.medians
    return (
        arm_of(one),
        one.baseline,
        one.load,
        words.short(one.metric),
        words.with_unit(arm, one.unit),
        words.with_unit(baseline, one.unit),
        words.ratio(one.ratio),
        words.interval(one),
        str(one.n),
        words.p_value(one.p if one.p_holm is None else one.p_holm),
        words.verdict(one),
    )


def arm_of(one: Comparison) -> str:
    """The arm's name, with its role where the name does not tell it."""
    return one.arm if one.role == "arm" or one.role in one.arm else f"{one.arm}, the {one.role}"


def comparisons(rows: Sequence[Comparison]) -> Table:
    return Table(COMPARISONS, [comparison(row) for row in rows], frozenset({4, 5, 6, 7, 8, 9}))


def primary(rows: Sequence[Comparison]) -> Table:
    """Without the load and the metric, which are the same in every row."""
    return without(comparisons(rows), "load", "metric")


def without(table: Table, *names: str) -> Table:
    """The table without the columns of these names."""
    kept = [index for index, name in enumerate(table.head) if name not in names]
    return Table(
        [table.head[index] for index in kept],
        [[row[index] for index in kept] for row in table.rows],
        frozenset(new for new, old in enumerate(kept) if old in table.numbers),
    )


def voids(run: Run) -> Table:
    """Each void of each trial: by rule, then by time."""
    found = [
        (
            void.rule,
            str(trial.block),
            trial.arm,
            trial.load,
            words.moment(trial.began),
            void.spoils,
            void.reason,
        )
        for trial in run.trials
        for void in trial.voids
    ]
    head = ("rule", "block", "arm", "load", "began", "spoils", "reason")
    return Table(head, sorted(found, key=lambda row: (row[0], row[4])), frozenset({1}))


def void_by_rule(run: Run) -> dict[str, int]:
    """rule → how many trials it voided, as the verdict counted them; else counted here."""
    counted = run.verdict.get("void_by_rule")
    if isinstance(counted, Mapping):
        return {str(rule): int(number) for rule, number in counted.items()}
    return dict(Counter(void.rule for trial in run.trials for void in trial.voids))


def tallies(run: Run) -> Table | None:
    """Failed requests by arm and load: shown, never compared. None when nobody counted any."""
    total: dict[tuple[str, str], float] = defaultdict(float)
    sent: dict[tuple[str, str], int] = defaultdict(int)
    for trial in run.trials:
        if "failed" in trial.figures and not trial.voids:
            total[trial.load, trial.arm] += trial.figures["failed"]
            sent[trial.load, trial.arm] += trial.requests
    rows = [
        (load, arm, f"{total[load, arm]:.0f}", str(sent[load, arm]))
        for load in run.loads
        for arm in run.ordered({arm for of_load, arm in total if of_load == load})
    ]
    return Table(("load", "arm", "failed", "requests"), rows, frozenset({2, 3})) if rows else None


def medians(run: Run) -> list[tuple[str, Table]]:
    """For each load: arms down, metrics across, medians over the trials that may be used."""
    found = []
    for load in run.loads:
        metrics = dict.fromkeys(
            metric for trial in run.trials if trial.load == load for metric in trial.figures
        )
        by_metric = {metric: run.medians(load, metric) for metric in metrics if metric != "failed"}
        by_metric = {metric: values for metric, values in by_metric.items() if values}
        arms = run.ordered({arm for values in by_metric.values() for arm in values})
        rows = [
            (arm, *(words.number(values.get(arm)) for values in by_metric.values())) for arm in arms
        ]
        head = ("arm", *(words.axis(metric) for metric in by_metric))
        if rows:
            found.append((load, Table(head, rows, frozenset(range(1, len(head))))))
    return found


def claims(run: Run) -> Table | None:
    """Claim by claim: what was said, what was measured, what follows."""
    rows = run.verdict.get("claims") or []
    if isinstance(rows, Mapping):
        rows = [{"claim": name, **row} for name, row in rows.items()]
    if not rows:
        return None
    return Table(
        ("claim", "source", "claimed", "measured", "ratio", "95 % interval", "n", "outcome", "why"),
        [
            (
                str(row.get("says") or row.get("claim") or ""),
                str(row.get("source") or ""),
                _said(row.get("claimed")),
                _said(row.get("measured") or None),
                words.ratio(row.get("ratio")),
                f"[{words.ratio(row['low'])}, {words.ratio(row['high'])}]"
                if row.get("low") is not None and row.get("high") is not None
                else "—",
                _said(row.get("n")),
                str(row.get("outcome") or ""),
                str(row.get("why") or ""),
            )
            for row in rows
        ],
        frozenset({4, 5, 6}),
    )


def asked(run: Run) -> Table:
    """The arms as the experiment's file asks for them."""
    rows = [
        (
            str(arm.get("name", "")),
            str(arm.get("role") or "arm"),
            str(arm.get("server") or ""),
            str(arm.get("against") or "—"),
            ", ".join(f"{key}={value}" for key, value in (arm.get("settings") or {}).items()),
        )
        for arm in run.arms
    ]
    return Table(("arm", "role", "server", "against", "settings"), rows)


# What describes a load of each kind; the rest of its fields are defaults that it has no use for.
_LOAD = {
    "rotation": ("path", "expect", "users", "rounds", "slice", "eagain"),
    "open": ("path", "expect", "rate", "seconds", "eagain"),
    "closed": ("path", "expect", "users", "seconds", "requests", "eagain"),
    "reload": ("path", "expect", "how", "rate"),
}


def loads(run: Run) -> Table:
    rows = []
    for load in run.plan.get("loads") or []:
        fields = _LOAD.get(str(load.get("kind")), tuple(load))
        rest = ", ".join(
            f"{key} {_said(load[key])}" for key in fields if load.get(key) not in (None, False)
        )
        rows.append((str(load.get("name", "")), str(load.get("kind", "")), rest))
    return Table(("load", "kind", "in full"), rows)


def options(run: Run) -> tuple[Table | None, Table | None]:
    """What each server reported of itself: options that differ between arms, and the others.

    An option that changed from start to start (a port) shows the number of its values.
    """
    reported: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    arms: set[str] = set()
    for trial in run.trials:
        if trial.options:
            arms.add(trial.arm)
        for option, value in trial.options.items():
            reported[option][trial.arm].add(str(value))
    if not arms:
        return None, None
    ordered = run.ordered(arms)

    def told(option: str, arm: str) -> str:
        values = reported[option].get(arm, set())
        if not values:
            return "—"
        return next(iter(values)) if len(values) == 1 else f"({len(values)} values)"

    differ, same = [], []
    for option in sorted(reported):
        values = [told(option, arm) for arm in ordered]
        if len(set(values)) == 1:
            same.append((option, values[0]))
        else:
            differ.append((option, values))
    across = (
        Table(
            ("arm", *(option for option, _ in differ)),
            [(arm, *(values[i] for _, values in differ)) for i, arm in enumerate(ordered)],
        )
        if differ
        else None
    )
    return across, Table(("option", "value in every arm"), same) if same else None


def conditions(run: Run) -> Table:
    """Everything that the plan knows of the machine and the run, nested names joined by dots."""
    plan = run.plan
    found: list[tuple[str, str]] = []
    for key in ("started", "finished", "runtime", "blocks", "quick", "seed", "capacity_rps"):
        if plan.get(key) is not None:
            said = words.moment(plan[key]) if key in ("started", "finished") else _said(plan[key])
            found.append((NAMES.get(key, key), said))
    for key, value in _flat(plan.get("conditions")):
        said = _said(value)
        if key == "memory_bytes":
            said = f"{float(value) / 2**30:.1f} GiB"
        elif key in ("stolen_since_boot", "pressure_avg10"):
            said = f"{float(value):.1%}"
        found.append((NAMES.get(key, key.replace("_", " ")), said))
    if priorities := _priorities(run):
        found.append((PRIORITY, priorities))
    return Table(("condition", "value"), found)


def _priorities(run: Run) -> str:
    """What was in force under which loads: below 0 the generator went before the servers."""
    loads: dict[int, dict[str, None]] = {}
    for trial in run.trials:
        if trial.evidence.generator_nice is not None:
            loads.setdefault(trial.evidence.generator_nice, {})[trial.load] = None
    return "; ".join(f"{nice} under {', '.join(names)}" for nice, names in sorted(loads.items()))


def servers(run: Run) -> Table | None:
    rows = [(name, _said(value)) for name, value in _flat(run.plan.get("servers"))]
    return Table(("server", "how it ran"), rows) if rows else None


def command(run: Run) -> str:
    """What repeats the run with the same orders and arrivals, where the experiment's file is."""
    shipped = "lab/experiments/" in str(run.plan.get("file", ""))
    parts = ["make compare", f"EXPERIMENT={run.experiment}{'' if shipped else '.toml'}"]
    if run.plan.get("blocks"):
        parts.append(f"BLOCKS={run.plan['blocks']}")
    if run.plan.get("quick"):
        parts.append("QUICK=1")
    if run.plan.get("runtime"):
        parts.append(f"RUNTIME={run.plan['runtime']}")
    if run.plan.get("seed") is not None:
        parts.append(f"SEED={run.plan['seed']}")
    return " ".join(parts)


def _flat(value: object, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(inner, f"{prefix} · {key}" if prefix else str(key))
    elif value is not None and prefix:
        yield prefix, value


def _said(value: object) -> str:
    if value is None:
        return "—"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return words.number(value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(_said(one) for one in value)
    return str(value)
