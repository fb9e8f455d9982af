"""An experiment's file, read and checked: what is compared, under which loads, by which figure.

The file is TOML that people write by hand, so every fault in it is told at once, each with its line
and with what would be allowed. Nothing is started before the file is right.
"""

from __future__ import annotations

import contextlib
import difflib
import re
import tomllib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

import toggles
from lab.measure.servers import SERVERS
from lab.plan import canary as canaries
from lab.plan import claims
from lab.trial import METRICS

EXPERIMENTS = Path(__file__).resolve().parents[1] / "experiments"

LoadKind = Literal["rotation", "open", "closed", "reload"]
KINDS: tuple[LoadKind, ...] = get_args(LoadKind)
HOWS = ("chain", "full", "shipped")

# What a reader may declare beforehand. "inconclusive" and "void" are not results to hope for.
VERDICTS = ("faster", "slower", "equivalent")

DEFAULT_PATH = "/workload/protected"
DEFAULT_SERVER = "uwsgi"

# The lab sets these for every arm, so that arms can be up side by side and be logged in to.
OURS = (
    "STACK_NAME",
    "STACK_BIND",
    "STACK_PORT",
    "STACK_HOSTS",
    "STACK_TLS",
    "STACK_TLS_PORT",
    "STACK_DEMO",
    "STACK_WORKLOAD",
    "STACK_LOGIN_RATE",
)

_COSTS = ("cpu_us", "cpu_us_nginx", "cpu_us_app", "cpu_us_redis", "wakeups", "preemptions")
_SERVICE = ("service_p50_ms", "service_p95_ms", "service_p99_ms")
_SHARED = (*_COSTS, *_SERVICE, "balance", "redis_commands", "rps", "failed")
_MEMORY = ("pss_mb", "uss_mb", "start_pss_mb", "start_uss_mb")
_ALONE = (*_MEMORY, "p50_ms", "p95_ms", "p99_ms", "start_s")

# The figures that a load can give. An arm in a rotation has no start of its own, and its memory is
# not what it would be alone: the libraries' pages are shared with its neighbours.
FIGURES: Mapping[LoadKind, tuple[str, ...]] = {
    "rotation": (*_SHARED, "eagain"),
    "open": (*_SHARED, *_ALONE),
    "closed": (*_SHARED, *_ALONE),
    "reload": ("reload_s", "stall_ms", "failed"),
}


CANARY = re.compile(r"[a-z]+_[0-9]+")

# More users, requests or rounds than this is a slip of the finger.
MOST = 1_000_000

_PATH = re.compile(r"/[!-~]*")


class ExperimentError(ValueError):
    """A file that cannot be run. Its text holds a line for each fault: file, line, what is wrong,
    and what is allowed."""


@dataclass(frozen=True)
class Load:
    """A load regime. *seconds* is the measured part; *rate* is requests/s, or "30%" of what the
    baseline can do. What a kind does not use keeps its default."""

    name: str
    kind: LoadKind
    path: str = DEFAULT_PATH
    expect: str | None = None  # a substring of the body; None: the same bytes every time
    users: int = 1
    rounds: int = 30  # rotation: turns of every arm
    slice: int = 60  # rotation: requests a turn
    eagain: bool = False  # rotation: count accepts that found nothing, in a short run of its own
    rate: float | str | None = None
    seconds: float = 3.0
    requests: int | None = None  # closed: that many instead of `seconds`
    how: str | None = None  # reload: "chain", "full", or as `make reload` does it: "shipped"

    @property
    def alone(self) -> bool:
        """Whether each arm stands alone under it, instead of beside all others."""
        return self.kind != "rotation"


@dataclass(frozen=True)
class ArmSpec:
    """What is compared: a server, its STACK_* settings, and how to be somebody there."""

    name: str
    settings: Mapping[str, str] = field(default_factory=dict)
    server: str = DEFAULT_SERVER
    # None: log in with the demo account; "/x": get that and keep its cookie; "none": no cookie.
    enter: str | None = None
    against: str = ""  # the arm that it is compared with; "" for the baseline itself
    role: Literal["arm", "twin", "canary"] = "arm"


@dataclass(frozen=True)
class Experiment:
    """A checked file. *arms* ends with the twin and the canary."""

    name: str
    question: str
    primary_metric: str
    primary_load: str
    baseline: str
    canary: str  # a factory of lab.plan.canary
    margin: float  # equivalence: within 1 ± margin
    loads: tuple[Load, ...]
    arms: tuple[ArmSpec, ...]
    expect: Mapping[str, str] = field(default_factory=dict)  # arm → verdict in the primary metric
    claims: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # claims.py reads them
    seed: int = 0  # 0: drawn anew for each run

    def load(self, name: str) -> Load:
        """Raises KeyError."""
        return {load.name: load for load in self.loads}[name]

    def arm(self, name: str) -> ArmSpec:
        """Raises KeyError."""
        return {arm.name: arm for arm in self.arms}[name]

    def arms_under(self, load: Load) -> tuple[ArmSpec, ...]:
        """The controls speak about the primary metric, so they take part in its load alone."""
        if load.name == self.primary_load:
            return self.arms
        return tuple(arm for arm in self.arms if arm.role == "arm")


def known(folder: Path = EXPERIMENTS) -> list[str]:
    """The names of the experiments in *folder*."""
    return sorted(file.stem for file in folder.glob("*.toml"))


def find(name: str, folder: Path = EXPERIMENTS) -> Path:
    """The file of an experiment by its name, or by a path to a file of one's own.

    Raises ExperimentError, which lists the known names.
    """
    path = Path(name) if name.endswith(".toml") else folder / f"{name}.toml"
    if path.is_file():
        return path
    names = known(folder)
    raise ExperimentError(
        f"there is no experiment {name!r}{_near(name, names)}; known are {', '.join(names)}, "
        "or give the path of a .toml file"
    )


def read(path: Path) -> Experiment:
    """Read and check *path*. Raises ExperimentError with a line for each fault."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ExperimentError(f"{shown(path)}: {error}") from error
    return parse(text, shown(path))


def parse(text: str, file: str) -> Experiment:
    """Check the TOML *text*; *file* is what errors call it, and its stem the experiment's name."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        at = re.search(r" \(at line (\d+), column (\d+)\)$", str(error))
        where = f", line {at[1]}, column {at[2]}" if at else ""
        said = str(error)[: at.start()] if at else str(error)
        raise ExperimentError(f"{file}{where}: not TOML: {said}") from error
    return _Checker(text, file).experiment(document)


def line_of(text: str, keys: tuple[str, ...]) -> int | None:
    """The line (from 1) of the statement that first brings *keys* into the document.

    tomllib keeps no positions. So the text is read anew up to every line: the statement sought is
    the one that ends where *keys* first appear. None if they never do.
    """
    lines = text.splitlines()
    begin = 0
    for end in range(1, len(lines) + 1):
        try:
            node: Any = tomllib.loads("\n".join(lines[:end]))
        except tomllib.TOMLDecodeError:
            continue  # in the middle of an array or a text of several lines
        for key in keys:
            node = node.get(key) if isinstance(node, dict) else None
        if node is not None:
            while not lines[begin].split("#")[0].strip():
                begin += 1
            return begin + 1
        begin = end
    return None


class _Checker:
    """Goes through a document and collects what is wrong with it."""

    TOP = (
        "question", "primary", "baseline", "canary", "path", "login", "app", "margin", "seed",
        "loads", "arms", "expect", "claims",
    )  # fmt: skip
    PRIMARY = ("metric", "load")
    LOAD: Mapping[LoadKind, tuple[str, ...]] = {
        "rotation": ("kind", "path", "expect", "users", "rounds", "slice", "eagain"),
        "open": ("kind", "path", "expect", "rate", "seconds"),
        "closed": ("kind", "path", "expect", "users", "seconds", "requests"),
        "reload": ("kind", "path", "expect", "rate", "how"),
    }
    ARM = ("server", "app", "enter", "against")

    def __init__(self, text: str, file: str) -> None:
        self._text = text
        self._file = file
        self._faults: list[tuple[int, str]] = []

    def experiment(self, document: dict[str, Any]) -> Experiment:
        for key in document:
            self._refuse_unknown((key,), self.TOP, "key")
        loads = self._loads(self._table(document, ("loads",)), document)
        arms = self._arms(self._table(document, ("arms",)), document)
        self._refuse_what_servers_lack(arms, loads)
        metric, load = self._primary(document, loads)
        baseline = self._name(document, ("baseline",), [arm.name for arm in arms], "arm")
        canary = self._canary(document)
        experiment = Experiment(
            name=Path(self._file).stem,
            question=self._string(document, ("question",)),
            primary_metric=metric,
            primary_load=load,
            baseline=baseline,
            canary=canary,
            margin=self._number(document, ("margin",), 0.05, above=0, below=0.5),
            loads=tuple(loads),
            arms=self._with_controls(arms, baseline, canary),
            expect=self._expect(document, [arm.name for arm in arms]),
            claims=self._claims(document, arms, loads),
            seed=self._whole(document, ("seed",), 0, least=0),
        )
        if self._faults:
            lines = [
                f"{self._file}, line {line}: {fault}" if line else f"{self._file}: {fault}"
                for line, fault in sorted(self._faults)
            ]
            raise ExperimentError("\n".join(lines))
        return experiment

    # ── Parts ───────────────────────────────────────────────────────────────────────────────────

    def _loads(self, tables: Mapping[str, Any], document: Mapping[str, Any]) -> list[Load]:
        path = self._path(document, ("path",), DEFAULT_PATH)
        loads: list[Load] = []
        for name, table in tables.items():
            at = ("loads", name)
            if not isinstance(table, dict):
                self._fault(at, 'must be a table, such as { kind = "rotation" }')
                continue
            kind = self._name(table, (*at, "kind"), KINDS, "kind")
            if kind not in KINDS:
                continue
            for key in table:
                self._refuse_unknown((*at, key), self.LOAD[kind], f"key of a load of kind {kind}")
            loads += self._load(name, kind, table, path)
        names = [load.name for load in loads]
        for name in sorted({name for name in names if names.count(name) > 1}):
            self._fault(("loads",), f"two loads are called {name!r}; trials are told by their load")
        shares = {load.path for load in loads if share(load.rate) is not None}
        if len(shares) > 1:
            self._fault(
                ("loads",), f"shares of one capacity need one path, not {', '.join(sorted(shares))}"
            )
        return loads

    def _load(
        self, name: str, kind: LoadKind, table: Mapping[str, Any], path: str
    ) -> Iterable[Load]:
        at = ("loads", name)
        if "seconds" in table and "requests" in table:
            self._fault((*at, "requests"), "seconds and requests: one of them bounds a load")
        requests = self._whole(table, (*at, "requests"), 0, least=100)
        load = Load(
            name=name,
            kind=kind,
            path=self._path(table, (*at, "path"), path),
            expect=self._string(table, (*at, "expect"), "") or None,
            rounds=self._whole(table, (*at, "rounds"), Load.rounds, least=2),
            slice=self._whole(table, (*at, "slice"), Load.slice, least=10),
            eagain=self._switch(table, (*at, "eagain")),
            rate=self._rate(table, (*at, "rate")) if kind in {"open", "reload"} else None,
            seconds=self._number(table, (*at, "seconds"), Load.seconds, above=0, below=3600),
            requests=requests or None,
            how=self._name(table, (*at, "how"), HOWS, "way") if kind == "reload" else None,
        )
        users = table.get("users", 8 if kind == "closed" else 1)
        if kind != "closed" or not isinstance(users, list):
            checked = self._whole({"users": users}, (*at, "users"), 1, least=1)
            return [replace(load, users=checked)]
        if not users:
            self._fault((*at, "users"), "must hold at least one number of users")
        return [
            replace(load, name=f"{name}, {count} user{'s' * (count != 1)}", users=count)
            for count in (
                self._whole({"users": count}, (*at, "users"), 1, least=1) for count in users
            )
        ]

    def _arms(self, tables: Mapping[str, Any], document: Mapping[str, Any]) -> list[ArmSpec]:
        login = document.get("login")
        if login not in (None, "none"):
            self._fault(("login",), f'login = {login!r}: must be "none", or left out')
        baseline = document.get("baseline")
        arms = []
        for name, table in tables.items():
            at = ("arms", name)
            if not isinstance(table, dict):
                self._fault(at, "must be a table, such as { STACK_THREADS = 2 }")
                continue
            keys = (*self.ARM, *(toggle for toggle in toggles.TOGGLES if toggle not in OURS))
            for key in table:
                if not key.startswith(toggles.PREFIX):
                    self._refuse_unknown((*at, key), keys, "key of an arm")
            others = [other for other in tables if other != name]
            against = self._name(table, (*at, "against"), others, "other arm", default="")
            arms.append(
                ArmSpec(
                    name=name,
                    settings=self._settings(at, table, document.get("app")),
                    server=self._name(
                        table, (*at, "server"), SERVERS, "server", default=DEFAULT_SERVER
                    ),
                    enter=self._enter(table, at, login),
                    against=against or ("" if name == baseline else str(baseline)),
                )
            )
        return arms

    def _settings(
        self, at: tuple[str, ...], table: Mapping[str, Any], app: object
    ) -> dict[str, str]:
        given = {key: value for key, value in table.items() if key.startswith(toggles.PREFIX)}
        for key in OURS:
            if key in given:
                self._fault((*at, key), f"{key}: the lab sets it itself, for every arm")
                del given[key]
        origin = {key: key for key in given}
        if "app" in table and "STACK_APP" in table:
            self._fault((*at, "app"), "app and STACK_APP say the same: leave one out")
        elif "app" in table or ("STACK_APP" not in given and app is not None):
            given["STACK_APP"] = table.get("app", app)
            origin["STACK_APP"] = "app"
        texts = {
            key: str(value).lower() if isinstance(value, bool) else str(value)
            for key, value in given.items()
        }
        try:
            values = toggles.read(texts)
        except toggles.ToggleError as error:
            for fault in str(error).splitlines():
                name = re.split(r"[=: ]", fault)[0]
                self._fault((*at, origin.get(name, name)), fault)
            return texts
        return {key: values[key] for key in texts}

    def _refuse_what_servers_lack(self, arms: Iterable[ArmSpec], loads: Iterable[Load]) -> None:
        known = [arm for arm in arms if arm.server in SERVERS]
        for arm in known:
            for key in SERVERS[arm.server].deaf_to(arm.settings):
                text = f"{arm.server} knows no {key}: leave it out for this arm"
                self._fault(("arms", arm.name, key), text)
        others = ", ".join(arm.name for arm in known if arm.server != DEFAULT_SERVER)
        for load in loads:
            if load.kind == "reload" and others:
                text = f"the lab reloads {DEFAULT_SERVER} only, and other servers have {others}"
                self._fault(("loads", load.name), text)

    def _enter(self, table: Mapping[str, Any], at: tuple[str, ...], login: object) -> str | None:
        enter = table.get("enter", login)
        if isinstance(enter, str) and (enter == "none" or _PATH.fullmatch(enter)):
            return enter
        if enter is not None:
            self._fault(
                (*at, "enter"), f'enter = {enter!r}: must be "none" or a path such as "/enter"'
            )
        return None

    def _primary(self, document: Mapping[str, Any], loads: list[Load]) -> tuple[str, str]:
        table = self._table(document, ("primary",))
        for key in table:
            self._refuse_unknown(("primary", key), self.PRIMARY, "key of primary")
        if not table:
            return "", ""
        comparable = [name for name, metric in METRICS.items() if metric.kind != "tally"]
        metric = self._name(table, ("primary", "metric"), comparable, "metric")
        name = self._name(table, ("primary", "load"), [load.name for load in loads], "load")
        kinds = [load.kind for load in loads if load.name == name]
        if metric == "eagain" and not any(load.eagain for load in loads if load.name == name):
            text = f"eagain is counted only where {name!r} has eagain = true"
            self._fault(("primary", "metric"), text)
        if kinds and metric in comparable and metric not in FIGURES[kinds[0]]:
            given = [figure for figure in FIGURES[kinds[0]] if figure in comparable]
            self._fault(
                ("primary", "metric"),
                f"a load of kind {kinds[0]} has no {metric}; it has {', '.join(given)}",
            )
        return metric, name

    def _canary(self, document: Mapping[str, Any]) -> str:
        name = self._get(document, ("canary",), None)
        if name is not None and not is_canary(name):
            self._fault(
                ("canary",),
                f"canary = {name!r}: must be burn_<µs>, wake_<times>, hold_<MB> or wait_<ms>, "
                "such as burn_40",
            )
        return str(name)

    def _with_controls(
        self, arms: list[ArmSpec], baseline: str, canary: str
    ) -> tuple[ArmSpec, ...]:
        base = next((arm for arm in arms if arm.name == baseline), None)
        if base is None:
            return tuple(arms)
        if len(arms) < 2:
            self._fault(("arms",), "one arm alone compares with nothing: name at least two")
        served = canaries.stack_app(canary, base.settings.get("STACK_APP"))
        costly = {**base.settings, "STACK_APP": served}
        return (
            *arms,
            replace(base, name=f"{baseline} (twin)", against=baseline, role="twin"),
            replace(
                base,
                name=f"{baseline} ({canary})",
                settings=costly,
                against=baseline,
                role="canary",
            ),
        )

    def _expect(self, document: Mapping[str, Any], arms: Collection[str]) -> dict[str, str]:
        table = self._table(document, ("expect",), {})
        for arm in table:
            if arm not in arms:
                self._fault(("expect", arm), _unknown("arm", arm, arms))
            self._name(table, ("expect", arm), VERDICTS, "verdict")
        return dict(table)

    def _claims(
        self, document: Mapping[str, Any], arms: list[ArmSpec], loads: list[Load]
    ) -> dict[str, Mapping[str, Any]]:
        table = self._table(document, ("claims",), {})
        for keys, text in claims.faults(table, arms, loads):
            self._fault(("claims", *keys), text)
        return dict(table)

    # ── Values ──────────────────────────────────────────────────────────────────────────────────

    def _fault(self, keys: tuple[str, ...], text: str) -> None:
        """Note *text* at the line of *keys*, or of what encloses them when they are missing."""
        line = None
        while keys and line is None:
            line = line_of(self._text, keys)
            keys = keys[:-1]
        self._faults.append((line or 0, text))

    def _refuse_unknown(self, keys: tuple[str, ...], allowed: Collection[str], what: str) -> None:
        if keys[-1] not in allowed:
            self._fault(keys, _unknown(what, keys[-1], allowed))

    def _get(self, table: Mapping[str, Any], keys: tuple[str, ...], default: Any) -> Any:
        """The value, or *default*; without a default, a missing key is a fault and gives None."""
        if keys[-1] in table:
            return table[keys[-1]]
        if default is None:
            owner = f" in {' '.join(keys[:-1])}" if len(keys) > 1 else ""
            self._fault(keys, f"{keys[-1]} is missing{owner}")
        return default

    def _table(
        self,
        document: Mapping[str, Any],
        keys: tuple[str, ...],
        default: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        value = self._get(document, keys, default)
        if isinstance(value, dict):
            if not value and default is None:
                self._fault(keys, f"{keys[-1]} is empty")
            return value
        if value is not None:
            self._fault(keys, f"{keys[-1]} = {value!r}: must be a table")
        return {}

    def _string(
        self, table: Mapping[str, Any], keys: tuple[str, ...], default: str | None = None
    ) -> str:
        value = self._get(table, keys, default)
        if isinstance(value, str) and (value.strip() or keys[-1] not in table):
            return value
        if value is not None:
            self._fault(keys, f"{keys[-1]} = {value!r}: must be a text that is not empty")
        return ""

    def _name(
        self,
        table: Mapping[str, Any],
        keys: tuple[str, ...],
        allowed: Collection[str],
        what: str,
        default: str | None = None,
    ) -> Any:
        value = self._get(table, keys, default)
        if keys[-1] in table and value not in allowed:
            self._fault(keys, _unknown(what, value, allowed))
        return "" if value is None else value

    def _path(self, table: Mapping[str, Any], keys: tuple[str, ...], default: str) -> str:
        value = self._get(table, keys, default)
        if isinstance(value, str) and _PATH.fullmatch(value):
            return value
        self._fault(keys, f'path = {value!r}: must begin with "/" and hold no blanks')
        return default

    def _number(
        self,
        table: Mapping[str, Any],
        keys: tuple[str, ...],
        default: float,
        *,
        above: float,
        below: float,
    ) -> float:
        value = self._get(table, keys, default)
        if isinstance(value, int | float) and not isinstance(value, bool) and above < value < below:
            return float(value)
        self._fault(
            keys, f"{keys[-1]} = {value!r}: must be a number above {above:g} and below {below:g}"
        )
        return default

    def _whole(
        self, table: Mapping[str, Any], keys: tuple[str, ...], default: int, *, least: int
    ) -> int:
        value = self._get(table, keys, default)
        if keys[-1] not in table:
            return default
        if isinstance(value, int) and not isinstance(value, bool) and least <= value <= MOST:
            return value
        self._fault(
            keys, f"{keys[-1]} = {value!r}: must be a whole number from {least} to {MOST:,}"
        )
        return default

    def _switch(self, table: Mapping[str, Any], keys: tuple[str, ...]) -> bool:
        value = table.get(keys[-1], False)
        if not isinstance(value, bool):
            self._fault(keys, f"{keys[-1]} = {value!r}: must be true or false")
        return value is True

    def _rate(self, table: Mapping[str, Any], keys: tuple[str, ...]) -> float | str | None:
        value = self._get(table, keys, None)
        if value is None:
            return None
        if isinstance(value, str) and share(value) is not None:
            return value
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= MOST:
            return float(value)
        self._fault(
            keys,
            f"rate = {value!r}: must be requests per second, such as 100, "
            'or a share of the baseline\'s capacity, from "1%" to "100%"',
        )
        return None


def share(rate: float | str | None) -> float | None:
    """``"30%"`` → 0.3; None for what is no share from 1 % to 100 %."""
    found = re.fullmatch(r"(\d{1,3}(?:\.\d+)?) ?%", rate) if isinstance(rate, str) else None
    value = float(found[1]) / 100 if found else 0.0
    return value if 0.01 <= value <= 1 else None


def is_canary(name: object) -> bool:
    """Whether canary.py makes *name*; any amount will do."""
    return isinstance(name, str) and bool(CANARY.fullmatch(name)) and hasattr(canaries, name)


def _near(name: str, allowed: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(allowed), n=1)
    return f", did you mean {near[0]}?" if near else ""


def _unknown(what: str, value: object, allowed: Collection[str]) -> str:
    """For a typo the name that was meant, and always what is allowed."""
    near = _near(str(value), allowed) or ";"
    return f"{value!r} is no {what}{near} allowed: {', '.join(map(str, allowed)) or 'none'}"


def shown(path: Path) -> str:
    """The path as a person in the checkout would type it."""
    with contextlib.suppress(ValueError):
        return str(path.resolve().relative_to(EXPERIMENTS.parent.parent))
    return str(path)
