"""`python -m loadtest.bench`: the budgets that concern sessions and logins, measured."""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from loadtest.bench import sessions, views
from loadtest.bench.slices import WrongAnswer
from loadtest.lab.estimate import Ratio, over_blocks
from stack.errors import StackError

RESULTS = Path("results/bench")

# What DESIGN calls budgets: the most that a cost may be, as a ratio to its baseline.
BUDGETS = {
    "session-read-vs-signed-cookie": 1.2,
    "protected-vs-bare-view": 1.7,
    "ours-vs-flask-session": 0.6,
}

# The same arm twice must come out alike, or the machine is too noisy to be believed.
MARGIN = 0.05


@dataclass(frozen=True)
class Row:
    """A line of bench.json. `met`: the whole interval keeps the budget."""

    name: str
    budget: float
    ratio: float
    low: float
    high: float
    n: int
    met: bool

    @classmethod
    def of(cls, name: str, found: Ratio) -> Row:
        budget = BUDGETS[name]
        return cls(name, budget, found.ratio, found.low, found.high, found.n, found.high <= budget)


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0 when every budget is met, 1 when not, 3 when the figures cannot be trusted."""
    parser = argparse.ArgumentParser(
        prog="python -m loadtest.bench", description=__doc__, allow_abbrev=False
    )
    parser.add_argument("--blocks", type=int, default=6, help="fresh starts (default: 6)")
    parser.add_argument("--rounds", type=int, default=50, help="rounds a block (default: 50)")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    options = parser.parse_args(arguments)
    if options.blocks < 2 or options.rounds < 10:
        parser.error("an interval needs at least 2 blocks, and a block 10 rounds")
    order = random.Random(options.seed)  # noqa: S311 - an order, not a secret

    print(f"{options.blocks} blocks, about {options.blocks * options.rounds * 0.9:.0f} s")
    logs: dict[str, list[float]] = defaultdict(list)
    cpu: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    try:
        for number in range(1, options.blocks + 1):
            _say(f"block {number}/{options.blocks}: in one process")
            logs["session-read-vs-signed-cookie"].append(sessions.block(options.rounds, order))
            _say(f"block {number}/{options.blocks}: starting both stacks")
            measured = views.block(
                options.rounds,
                order,
                lambda done, at=number: _say(  # type: ignore[misc]
                    f"block {at}/{options.blocks}: round {done}/{options.rounds}"
                ),
            )
            for name, value in measured.log_ratios.items():
                logs[name].append(value)
            for arm, by_service in measured.cpu_us.items():
                for service, value in by_service.items():
                    cpu[arm][service].append(value)
    except (StackError, WrongAnswer) as error:
        _say("")
        print(f"bench: {error}", file=sys.stderr)
        return 3
    _say("")

    found = {name: over_blocks(values) for name, values in logs.items()}
    twin = found.pop("twin")
    trustworthy = twin.low >= 1 - MARGIN and twin.high <= 1 + MARGIN
    rows = [Row.of(name, value) for name, value in found.items()]
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
            "conditions": {
                "time": datetime.now(UTC).isoformat(timespec="seconds"),
                "blocks": options.blocks,
                "rounds": options.rounds,
                "seed": options.seed,
                "python": platform.python_version(),
                "kernel": platform.release(),
                "cores": os.cpu_count(),
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
    print(f"{'':32}{'ratio':>7}  {'95 % interval':16}{'budget':>7}")
    for row in rows:
        print(
            f"{row.name:32}{row.ratio:7.3f}  [{row.low:.3f}, {row.high:.3f}]  {row.budget:7.2f}  "
            f"{'met' if row.met else 'NOT met'}"
        )
    print(f"{'the same view twice':32}{twin.ratio:7.3f}  [{twin.low:.3f}, {twin.high:.3f}]")
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
