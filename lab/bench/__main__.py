"""`python -m lab.bench`: DESIGN's budgets, measured."""

from __future__ import annotations

import argparse
import json
import math
import random
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from lab.bench import sessions, views
from lab.bench.slices import WrongAnswer
from lab.judge.estimate import Ratio, equivalent, over_blocks
from lab.measure import machine
from lab.measure.load import LoadError
from stack.errors import StackError

RESULTS = Path("results/bench")

# The most that a cost may be: as a ratio to its baseline, or in the unit that is given.
BUDGETS: dict[str, tuple[float, str]] = {
    "serving-overhead": (1.1, ""),
    "stack-vs-gunicorn-flask-session": (0.3, ""),
    "stack-vs-granian": (0.55, ""),
    "session-read-vs-signed-cookie": (1.2, ""),
    "protected-vs-bare-view": (1.7, ""),
    "ours-vs-flask-session": (0.6, ""),
    "wakeups-per-request": (2, "a request"),
    "extra-pss-per-worker": (10, "MB"),
    "chain-reload-failed": (0, "requests"),
    "chain-reload-stall": (250, "ms"),
}

# What must never happen: the worst of all blocks counts, not their mean.
WORST = {"chain-reload-failed", "chain-reload-stall"}

# What a block and a round take on two cores of 2.5 GHz.
SETTING_UP_S = 22
ROUND_S = 1.0

# The same arm twice must come out alike, or the machine is too noisy to be believed.
MARGIN = 0.05


@dataclass(frozen=True)
class Row:
    """A line of bench.json. `ratio` is a ratio to a baseline, or a value where there is a `unit`.

    low and high: its 95 % interval over the blocks; where `worst` is true, `ratio` is the worst
    block's and these are the best's and the worst's. `met`: all of it keeps the budget.
    """

    name: str
    budget: float
    ratio: float
    low: float
    high: float
    n: int
    met: bool
    unit: str = ""
    worst: bool = False

    @classmethod
    def of(cls, name: str, found: Ratio, *, worst: bool = False) -> Row:
        budget, unit = BUDGETS[name]
        met = found.high <= budget
        return cls(name, budget, found.ratio, found.low, found.high, found.n, met, unit, worst)

    @classmethod
    def of_figures(cls, name: str, values: Sequence[float]) -> Row:
        """From a figure with a unit, a value a block."""
        if name in WORST:
            found = Ratio(max(values), min(values), max(values), len(values))
            return cls.of(name, found, worst=True)
        return cls.of(name, over_blocks([math.log(value) for value in values]))


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0 when every budget is met, 1 when not, 3 when the figures cannot be trusted."""
    parser = argparse.ArgumentParser(
        prog="python -m lab.bench", description=__doc__, allow_abbrev=False
    )
    parser.add_argument("--blocks", type=int, default=6, help="fresh starts (default: 6)")
    parser.add_argument("--rounds", type=int, default=15, help="rounds a block (default: 15)")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    options = parser.parse_args(arguments)
    if options.blocks < 2 or options.rounds < 10:
        parser.error("an interval needs at least 2 blocks, and a block 10 rounds")
    order = random.Random(options.seed)  # noqa: S311 - an order, not a secret

    seconds = options.blocks * (SETTING_UP_S + options.rounds * ROUND_S)
    print(f"{options.blocks} blocks, about {seconds:.0f} s")
    logs: dict[str, list[float]] = defaultdict(list)
    figures: dict[str, list[float]] = defaultdict(list)
    cpu: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    watch = machine.Watch()
    try:
        for number in range(1, options.blocks + 1):
            block = f"block {number}/{options.blocks}"
            _say(f"{block}: in one process")
            logs["session-read-vs-signed-cookie"].append(sessions.block(options.rounds, order))
            measured = views.block(
                options.rounds,
                order,
                lambda what, block=block: _say(f"{block}: {what}"),  # type: ignore[misc]
            )
            for name, value in measured.log_ratios.items():
                logs[name].append(value)
            for name, value in measured.figures.items():
                figures[name].append(value)
            for arm, by_service in measured.cpu_us.items():
                for service, value in by_service.items():
                    cpu[arm][service].append(value)
    except (StackError, WrongAnswer, LoadError) as error:
        _say("")
        print(f"bench: {error}", file=sys.stderr)
        return 3
    _say("")

    twin = over_blocks(logs.pop("twin"))
    trustworthy = equivalent(twin, MARGIN)
    found = {name: Row.of(name, over_blocks(values)) for name, values in logs.items()}
    found |= {name: Row.of_figures(name, values) for name, values in figures.items()}
    rows = [found[name] for name in BUDGETS]
    costs = {
        arm: {service: round(median(values), 1) for service, values in by_service.items()}
        for arm, by_service in cpu.items()
    }
    _write(
        {
            "rows": [asdict(row) for row in rows],
            "trustworthy": trustworthy,
            "twin": asdict(twin),
            "cpu_us_per_request": costs,
            "blocks": {"log_ratios": logs, "figures": figures},
            "conditions": {
                "time": datetime.now(UTC).isoformat(timespec="seconds"),
                "blocks": options.blocks,
                "rounds": options.rounds,
                "seed": options.seed,
                **machine.conditions(),
                "during the run": asdict(watch.seen()),
            },
        }
    )
    _print(rows, twin, costs, trustworthy)
    if not trustworthy:
        return 3
    return 0 if all(row.met for row in rows) else 1


def _say(text: str) -> None:
    """Progress, on a line of its own that the next one replaces; only where somebody looks."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\033[K{text}")
        sys.stderr.flush()


def _write(content: dict[str, object]) -> None:
    directory = RESULTS / datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "bench.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    latest = RESULTS / "latest"
    latest.unlink(missing_ok=True)
    latest.symlink_to(directory.name)


def _print(
    rows: Sequence[Row],
    twin: Ratio,
    costs: dict[str, dict[str, float]],
    trustworthy: bool,
) -> None:
    print(f"{'':34}{'ratio':>8}  {'95 % interval':20}{'budget':>7}")
    for row in rows:
        interval = f"[{row.low:.3f}, {row.high:.3f}]"
        print(
            f"{row.name:34}{row.ratio:8.3f}  {interval:20}{row.budget:7.2f}  "
            f"{'met' if row.met else 'NOT met'}{row.unit and f', {row.unit}'}"
            f"{', worst of ' + str(row.n) if row.worst else ''}"
        )
    interval = f"[{twin.low:.3f}, {twin.high:.3f}]"
    print(f"{'the same view twice':34}{twin.ratio:8.3f}  {interval}")
    print("\nCPU in µs a request (median)")
    for arm, by_service in costs.items():
        parts = ", ".join(f"{service} {value:.0f}" for service, value in by_service.items())
        print(f"  {arm:30}{parts}")
    if not trustworthy:
        print(
            "\nUntrustworthy: the same view twice came out different. Run it on a quieter machine."
        )
    print(f"\n{RESULTS / 'latest' / 'bench.json'}")


if __name__ == "__main__":
    sys.exit(main())
