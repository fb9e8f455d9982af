"""What an experiment is: arms, loads, the primary figure, and what was claimed or budgeted before.

The types of the fields are those of the file, which lab.plan.experiment_file checks by them. The
`description` of a type is what its message says is allowed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Literal

from msgspec import Meta

from lab.plan import canary
from lab.plan.arms import ArmSpec, ReloadMode
from lab.plan.traffic import Traffic
from lab.trial import METRICS

DEFAULT_PATH = "/workload/protected"

LoadKind = Literal["rotation", "open", "closed", "reload"]

# What lab.measure.facts can try on a real uWSGI.
FactName = Literal[
    "sigterm-reloads",
    "die-on-term-stops",
    "die-on-term-finishes-requests",
    "graceful-hook-finishes-requests",
    "threads-need-enable-threads",
    "harakiri-kills",
    "harakiri-kills-with-threads",
    "chain-reload-needs-lazy-apps",
    "strict-refuses-unknown-options",
    "need-app-refuses-a-broken-app",
    "vacuum-deletes-sockets",
]

_COSTS = ("cpu_us", "cpu_us_nginx", "cpu_us_app", "cpu_us_redis", "wakeups", "preemptions")
_SERVICE = ("service_p50_ms", "service_p95_ms", "service_p99_ms")
_SHARED = (*_COSTS, *_SERVICE, "balance", "redis_commands", "rps", "failed")
_MEMORY = ("pss_mb", "uss_mb", "start_pss_mb", "start_uss_mb")
_ALONE = (*_MEMORY, "p50_ms", "p95_ms", "p99_ms", "start_s")

# The figures that each kind of load yields. An arm in a rotation has no start of its own, and its
# memory is not what it would be alone, because it shares the libraries' pages with its neighbours.
FIGURES: Mapping[LoadKind, tuple[str, ...]] = {
    "rotation": (*_SHARED, "eagain"),
    "open": (*_SHARED, *_ALONE),
    "closed": (*_SHARED, *_ALONE),
    "reload": ("reload_s", "stall_ms", "failed"),
}
# What can be compared as a ratio.
COMPARABLE = tuple(name for name, metric in METRICS.items() if metric.kind != "tally")

# A larger number of users, requests or rounds is a typing error.
MOST = 1_000_000

Text = Annotated[str, Meta(pattern=r"\S", description="a text that is not empty")]
UrlPath = Annotated[
    str, Meta(pattern=r"^/[!-~]*\Z", description='a path that begins with "/" and has no blanks')
]
Login = Annotated[
    str, Meta(pattern=r"^(none|/[!-~]*)\Z", description='"none" or a path such as "/enter"')
]
Switch = Annotated[bool, Meta(description="true or false")]
Claimed = Annotated[float, Meta(gt=0, lt=1000)] | Literal["<1", ">1", "<=1", ">=1"]
Verdict = Literal["faster", "slower", "equivalent"]  # the others are not results to hope for


def _whole(least: int) -> Meta:
    return Meta(ge=least, le=MOST, description=f"a whole number from {least} to {MOST:,}")


Users = Annotated[int, _whole(1)]
Seed = Annotated[int, _whole(0)]
Margin = Annotated[float, Meta(gt=0, lt=0.5, description="a number above 0 and below 0.5")]
_SHARE = r"^(100|[1-9]\d?(\.\d+)?) ?%\Z"
Rate = Annotated[
    Annotated[float, Meta(gt=0, le=MOST)] | Annotated[str, Meta(pattern=_SHARE)],
    Meta(
        description="requests per second, such as 100, or a share of the baseline's capacity, "
        'from "1%" to "100%"'
    ),
]


@dataclass(frozen=True)
class Load:
    """A load regime. Fields that its kind does not use keep their defaults."""

    name: Text
    kind: LoadKind
    path: UrlPath = DEFAULT_PATH
    expect: Text | None = None  # a substring of the body; None: the same bytes every time
    arms: tuple[str, ...] = ()  # the arms that stand under it; (): all of them
    users: Users = 1
    rounds: Annotated[int, _whole(2)] = 30  # rotation: slices of each arm
    slice: Annotated[int, _whole(10)] = 60  # rotation: requests per slice
    eagain: Switch = False  # rotation: count accepts without a connection, in a short run besides
    rate: Rate | None = None
    seconds: Annotated[
        float, Meta(gt=0, lt=3600, description="a number above 0 and below 3600")
    ] = 3.0  # the measured part
    requests: Annotated[int, _whole(100)] | None = None  # closed: ends the load, not `seconds`
    how: ReloadMode | None = None
    locustfile: Text | None = None  # closed: somebody's own users instead of ours
    traffic: Traffic | None = None  # sent instead of GETs of `path`

    @property
    def alone(self) -> bool:
        """Whether each arm runs alone under it, not side by side with the others."""
        return self.kind != "rotation"


@dataclass(frozen=True)
class Claim:
    """A published statement. One with a figure names a comparison, its metric and the ratio arm ÷
    against that was claimed; one that is true or false names a `fact`.

    ratio: 1 claims that there is no difference; "<1" and ">1" claim a direction, "<=1" and ">=1"
    that there is none in the other. stand_in: a steadier metric that decides where *metric* cannot.
    note: added to the reasons. conditions: how the claim's conditions differ from those of this
    experiment; the figure then decides nothing.
    """

    says: Text
    source: Text
    arm: str = ""
    against: str = ""
    load: str = ""
    metric: str = ""
    ratio: Annotated[
        Claimed,
        Meta(description='a number such as 0.8, 1 for "no difference", "<1", "<=1", ">1", ">=1"'),
    ] = 1.0
    stand_in: str | None = None
    note: Text | None = None
    conditions: Text | None = None
    fact: FactName | None = None


@dataclass(frozen=True)
class Budget:
    """A limit for a figure of this experiment.

    With `against` the figure is the ratio arm ÷ against, otherwise the arm's own value in the
    metric's unit. With `per` it is the difference arm - against, divided by `per`. `limit` is the
    most that it may be, or the least for a metric of which more is better.
    """

    name: str
    arm: str
    load: str
    metric: str
    limit: Annotated[float, Meta(gt=0, description="a number above 0")]
    against: str | None = None
    per: Annotated[int, _whole(1)] | None = None


@dataclass(frozen=True)
class Experiment:
    """A checked file. *arms* ends with the controls: the twin and the canaries."""

    name: str
    question: str
    primary_metric: str
    primary_load: str
    baseline: str
    canaries: tuple[str, ...]  # doses of lab.plan.canary; the arms have each dose and twice it
    margin: float  # equivalence: within 1 ± margin
    loads: tuple[Load, ...]
    arms: tuple[ArmSpec, ...]
    expect: Mapping[str, str] = field(default_factory=dict)  # arm → verdict in the primary metric
    claims: Mapping[str, Claim] = field(default_factory=dict)
    budgets: tuple[Budget, ...] = ()
    seed: int = 0  # 0: drawn anew for each run
    # The arms whose primary comparison is the answer: "yes" if the first is better than the second.
    answer: tuple[str, str] | None = None
    files: Mapping[str, str] = field(default_factory=dict)  # those that the file names, as read

    def load(self, name: str) -> Load:
        """Raises KeyError."""
        return {load.name: load for load in self.loads}[name]

    def arm(self, name: str) -> ArmSpec:
        """Raises KeyError."""
        return {arm.name: arm for arm in self.arms}[name]

    def arms_under(self, load: Load) -> tuple[ArmSpec, ...]:
        """The arms of *load*, with the controls wherever the baseline stands.

        A canary takes part only where its cost can be seen.
        """

        def takes_part(arm: ArmSpec) -> bool:
            name = arm.name if arm.role == "arm" else self.baseline
            if load.arms and name not in load.arms:
                return False
            if arm.role == "arm":
                return True
            return not arm.dose or not canary.metrics(arm.dose).isdisjoint(FIGURES[load.kind])

        return tuple(filter(takes_part, self.arms))

    @property
    def is_relative(self) -> bool:
        """Whether a canary's dose is a share of what the baseline costs."""
        return any(canary.relative(arm.dose) for arm in self.arms)

    def with_cost(self, cost_us: float) -> Experiment:
        """The experiment with absolute doses, where a request of the baseline takes *cost_us*."""
        arms = (
            _with_app(arm, canary.absolute(arm.dose, cost_us)) if canary.relative(arm.dose) else arm
            for arm in self.arms
        )
        return replace(self, arms=tuple(arms))


def dosed(base: ArmSpec, dose: str) -> ArmSpec:
    """The canary of *base*. A relative dose is added by Experiment.with_cost()."""
    name = f"{base.name} ({dose})"
    arm = replace(base, name=name, against=base.name, role="canary", dose=dose)
    return arm if canary.relative(dose) else _with_app(arm, dose)


def _with_app(arm: ArmSpec, dose: str) -> ArmSpec:
    app = canary.stack_app(dose, arm.settings.get("STACK_APP"))
    return replace(arm, dose=dose, settings={**arm.settings, "STACK_APP": app})


def share(rate: float | str | None) -> float | None:
    """``"30%"`` → 0.3; None for anything but a share from 1 % to 100 %."""
    if isinstance(rate, str) and re.search(_SHARE, rate):
        return float(rate.rstrip(" %")) / 100
    return None
