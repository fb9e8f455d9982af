"""Reads and checks the file of an experiment.

People write it by hand in TOML. All its faults are reported at once, each with its line and with
what is allowed. Nothing is started before the file is right.
"""

from __future__ import annotations

import contextlib
import difflib
import re
import shutil
import tomllib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, replace
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, get_args, get_type_hints

import msgspec
from msgspec import Meta

import toggles
from lab.plan import canary as canaries
from lab.plan import experiment as model
from lab.plan import sources
from lab.plan import traffic as traffics
from lab.plan.arms import ArmSpec, LoginForm, ReloadMode
from lab.plan.experiment import COMPARABLE, FIGURES, Budget, Claim, Experiment, Load, share
from lab.plan.servers import SERVERS
from lab.plan.traffic import Request, Traffic

EXPERIMENTS = Path(__file__).resolve().parents[1] / "experiments"

# The lab sets these for every arm, so that arms can run side by side and accept a login.
RESERVED = ("NAME", "BIND", "PORT", "HOSTS", "TLS", "TLS_PORT", "DEMO", "WORKLOAD", "LOGIN_RATE")

_SHARED = ("kind", "path", "expect", "arms")
_LOAD_KEYS: Mapping[str, tuple[str, ...]] = {
    "rotation": (*_SHARED, "traffic", "users", "rounds", "slice", "eagain"),
    "open": (*_SHARED, "traffic", "rate", "seconds"),
    "closed": (*_SHARED, "traffic", "locustfile", "users", "seconds", "requests"),
    "reload": (*_SHARED, "rate", "how"),
}
_FACT: tuple[str, ...] = ("says", "source", "fact")
_FIGURE: tuple[str, ...] = ("says", "source", "arm", "against", "load", "metric", "ratio")

CANARIES = "burn_<µs>, burn_<percent>%, wake_<times>, hold_<MB> or wait_<ms>, such as burn_5%"
Canary = Annotated[str | list[str], Meta(description=f"{CANARIES}, or a list of them")]
IniLine = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9-]* *=[^\n]*\Z")]
_INI = 'a list of lines for uwsgi.ini, such as ["cheaper = 1"]'
Ref = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9_.@][\w./@^~{}+-]*\Z",
        description='a commit, branch or tag, or "." for the working tree',
    ),
]
Commands = Annotated[list[model.Text], Meta(description='a list, such as ["flask seed"]')]
# Those of the stack, of its services and of the loader would be overwritten, or break the arm.
_ENV_NAME = re.compile(r"(?!(STACK|UWSGI|NGINX|LD|MAKE)_)[A-Z_][A-Z0-9_]*\Z")
_ENV_OF_THE_STACK = re.compile(
    r"PATH|PYTHON(PATH|HOME)|RUNTIME|REDIS_(URL|PASSWORD_FILE)|SECRET_KEY_FILE|DATA_DIR|TMPDIR"
    r"|APP_(LISTEN|RUN|SOCKET|HOST|PORT|ENVIRONMENT)|METRICS_LISTEN"
)
_PIN = re.compile(r"[A-Za-z0-9][\w.-]*(\[[\w, -]*\])? *([=<>!~]=?|@).*|[A-Za-z0-9][\w.-]*\Z")
_TWO_ARMS = 'two arms, such as ["on", "off"]'
Table = Annotated[dict[str, Any], Meta(min_length=1, description="a table that is not empty")]


LoginKey = Annotated[str | dict[str, Any], Meta(description='"none", a path, or a table')]
_MASKS = f"a list of {', '.join(traffics.MASKS)} and regular expressions"


class ExperimentError(ValueError):
    """A file that cannot be run. Its text has a line per fault: file, line, what is wrong, and what
    is allowed."""


@dataclass
class File:
    """The file's top level."""

    question: model.Text = ""
    primary: Table = field(default_factory=dict)
    baseline: str = ""
    canary: Canary = ""
    loads: Table = field(default_factory=dict)
    arms: Table = field(default_factory=dict)
    path: model.UrlPath = Load.path
    login: LoginKey | None = None
    app: model.Text | None = None
    traffic: dict[str, Any] = field(default_factory=dict)
    margin: model.Margin = 0.05
    seed: model.Seed = 0
    answer: Annotated[list[str], Meta(min_length=2, max_length=2, description=_TWO_ARMS)] = field(
        default_factory=list
    )
    expect: dict[str, Any] = field(default_factory=dict)
    claims: dict[str, Any] = field(default_factory=dict)
    budgets: dict[str, Any] = field(default_factory=dict)


@dataclass
class TrafficTable:
    """A table of [traffic]."""

    requests: Annotated[list[Any], Meta(min_length=1, description="a list of requests")]
    mask: Annotated[list[str], Meta(description=_MASKS)] = field(
        default_factory=lambda: list(traffics.MASKS)
    )
    csrf: model.UrlPath = ""


@dataclass
class LoginTable:
    """A log-in by form."""

    page: model.UrlPath
    form: Annotated[dict[str, str], Meta(min_length=1, description="the fields of the form")]
    users: Annotated[int, Meta(ge=1, le=1000, description="a whole number from 1 to 1,000")] = 1


@dataclass
class Arm:
    """An arm without its STACK_* settings."""

    server: str = ArmSpec.server
    app: model.Text | None = None
    login: LoginKey | None = None
    against: str = ""
    path: model.UrlPath | None = None
    expect: model.Text | None = None
    how: ReloadMode | None = None
    ini: Annotated[list[IniLine], Meta(description=_INI)] = field(default_factory=list)
    ref: Ref = ""
    without: Annotated[list[str], Meta(description='a list of units such as ["inside"]')] = field(
        default_factory=list
    )
    env: Annotated[
        dict[str, str | int | float], Meta(description='a table such as { CACHE = "off" }')
    ] = field(default_factory=dict)
    nginx: Annotated[
        str, Meta(pattern=r"[;}]\s*\Z", description='directives, such as "gzip off;"')
    ] = ""
    python: model.Text = ""
    requirements: Annotated[
        str | list[str], Meta(description='a list of pins such as ["flask==3.1.0"], or a file')
    ] = ""
    setup: Commands = field(default_factory=list)


def known(folder: Path = EXPERIMENTS) -> list[str]:
    """The names of the experiments in *folder*."""
    return sorted(file.stem for file in folder.glob("*.toml"))


def find(name: str, folder: Path = EXPERIMENTS) -> Path:
    """The file of an experiment, by its name or by the path of a .toml file.

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
    """Read and check *path*. Raises ExperimentError with a line per fault."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ExperimentError(f"{shown(path)}: {error}") from error
    experiment = parse(text, shown(path))
    require_commits(experiment, text, shown(path))
    return experiment


def require_commits(experiment: Experiment, text: str, file: str) -> None:
    """Raises ExperimentError for an arm whose commit does not exist.

    parse() does not look: a run stays readable after a branch was deleted.
    """
    faults = []
    for arm in experiment.arms:
        if arm.ref and arm.role == "arm":
            try:
                sources.resolve(arm.ref)
            except sources.NoSuchCommit as error:
                line = line_of(text, ("arms", arm.name, "ref")) or line_of(text, ("arms", arm.name))
                faults.append(f"{file}, line {line}: {error}")
    if faults:
        raise ExperimentError("\n".join(faults))


def parse(text: str, file: str, files: Mapping[str, str] | None = None) -> Experiment:
    """Check the TOML *text*; *file* is its name in messages, and its stem the experiment's name.

    *files*: the contents of other files that it names, as an earlier run has kept them; None: they
    are read.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        reason, _, at = str(error).partition(" (at ")
        where = f", {at.rstrip(')')}" if at else ""
        raise ExperimentError(f"{file}{where}: not TOML: {reason}") from error
    return _Checker(text, file, files).experiment(document)


def line_of(text: str, keys: tuple[str, ...]) -> int | None:
    """The line (from 1) of the statement that first defines *keys*; None if nothing does.

    tomllib keeps no positions, so the text is parsed up to every line: the statement is the one
    that ends where *keys* first appear.
    """
    lines = text.splitlines()
    begin = 0
    for end in range(1, len(lines) + 1):
        try:
            node: Any = tomllib.loads("\n".join(lines[:end]))
        except tomllib.TOMLDecodeError:
            continue  # inside an array or a text of several lines
        for key in keys:
            node = node.get(key) if isinstance(node, dict) else None
        if node is not None:
            while not lines[begin].split("#")[0].strip():
                begin += 1
            return begin + 1
        begin = end
    return None


class _Checker:
    """Goes through a document and collects its faults."""

    def __init__(self, text: str, file: str, files: Mapping[str, str] | None) -> None:
        self._text = text
        self._file = file
        self._kept = files
        self._files: dict[str, str] = {}
        self._traffic: dict[str, Traffic] = {}
        self._faults: set[tuple[int, str]] = set()
        self._arms: dict[str, ArmSpec] = {}
        self._loads: dict[str, Load] = {}
        # The names that a key may have as its value.
        self._names: dict[str, Collection[str]] = {
            "server": SERVERS,
            "load": self._loads,
            **dict.fromkeys(("metric", "stand_in"), COMPARABLE),
        }

    def experiment(self, document: dict[str, Any]) -> Experiment:
        required = ("question", "primary", "baseline", "canary", "loads", "arms")
        top = File(**self._values((), document, File, required=required))
        arms = top.arms
        self._names |= dict.fromkeys(("arm", "against", "baseline"), arms)
        for name, table in arms.items():
            self._arm(name, table, top)
        self._start_alike()
        self._all_loads(top)
        primary = self._figure(("primary",), top.primary, Budget, ("metric", "load"))
        if arms and "baseline" in document:
            self._check_name(("baseline",), top.baseline)
        main = self._loads.get(primary.get("load", ""))
        if main and main.arms and top.baseline not in main.arms:
            self._fault(("loads", main.name), "the primary load needs the baseline among its arms")
        answer = self._answer(top.answer, main)
        if len(arms) == 1:
            self._fault(("arms",), "a single arm compares with nothing: name at least two")
        doses = (top.canary,) if isinstance(top.canary, str) else tuple(top.canary)
        for dose in doses if "canary" in document else ():
            if not canaries.is_dose(dose):
                self._fault(("canary",), f"canary = {dose!r}: must be {CANARIES}")
        metric = primary.get("metric", "")
        known = [dose for dose in doses if canaries.is_dose(dose)]
        if known and metric and not any(metric in canaries.metrics(dose) for dose in known):
            text = f"canary = {', '.join(known)} does not change the primary metric {metric}"
            self._fault(("canary",), text)
        for arm, verdict in top.expect.items():
            self._check_name(("expect", arm), arm, "arm")
            self._value(("expect", arm), verdict, model.Verdict, "verdict")
        claims = {}
        for name, table in top.claims.items():
            keys = _FACT if isinstance(table, dict) and "fact" in table else _FIGURE
            optional = ("note",) if keys is _FACT else ("note", "stand_in", "conditions")
            claims[name] = self._figure(("claims", name), table, Claim, (*keys, *optional), keys)
        budgets = {
            name: self._figure(("budgets", name), table, Budget)
            for name, table in top.budgets.items()
        }
        if self._faults:
            lines = [
                f"{self._file}, line {line}: {fault}" if line else f"{self._file}: {fault}"
                for line, fault in sorted(self._faults)
            ]
            raise ExperimentError("\n".join(lines))
        return Experiment(
            name=Path(self._file).stem,
            question=top.question,
            primary_metric=primary["metric"],
            primary_load=primary["load"],
            baseline=top.baseline,
            canaries=doses,
            margin=top.margin,
            loads=tuple(self._loads.values()),
            arms=_with_controls(self._arms, top.baseline, doses),
            expect=top.expect,
            claims={name: Claim(**values) for name, values in claims.items()},
            budgets=tuple(Budget(name=name, **values) for name, values in budgets.items()),
            seed=top.seed,
            answer=answer,
            files=self._files,
        )

    # ── Parts ───────────────────────────────────────────────────────────────────────────────────

    def _arm(self, name: str, table: Any, top: File) -> None:
        at = ("arms", name)
        if not isinstance(table, dict):
            self._fault(at, "must be a table, such as { STACK_THREADS = 2 }")
            return
        settings = {key: table[key] for key in table if key.startswith(toggles.PREFIX)}
        values = {key: table[key] for key in table if key not in settings}
        given = Arm(**self._values(at, values, Arm))
        if "app" in table and "STACK_APP" in table:
            self._fault((*at, "app"), "app and STACK_APP set the same: leave one out")
        elif app := given.app or top.app:
            settings.setdefault("STACK_APP", app)
        baseline = "" if name == top.baseline else top.baseline
        if given.against:
            self._check_name((*at, "against"), given.against)
        if given.against == name:
            self._fault((*at, "against"), f"against = {name!r}: must be another arm")
        self._arms[name] = arm = ArmSpec(
            name=name,
            settings=self._settings(at, settings),
            server=given.server,
            login=self._login(at, given.login or top.login),
            against=given.against or baseline,
            path=given.path,
            expect=given.expect,
            how=given.how,
            ini=tuple(given.ini),
            ref=given.ref,
            without=tuple(given.without),
            env=self._env(at, given.env),
            nginx=given.nginx,
            python=self._python(at, given.python),
            requirements=self._requirements(at, given.requirements),
            setup=tuple(given.setup),
        )
        if self._check_name((*at, "server"), arm.server):
            for key in SERVERS[arm.server].unsupported(arm.settings):
                text = f"{arm.server} does not support {key}: leave it out for this arm"
                self._fault((*at, key), text)
            if arm.ini and arm.server != ArmSpec.server:
                self._fault((*at, "ini"), f"{arm.server} does not read uwsgi.ini as uwsgi does")
            for key in ("ref", "without", "env", "nginx", "python", "requirements"):
                if getattr(arm, key) and arm.server != ArmSpec.server:
                    self._fault((*at, key), f"{key} is for the server uwsgi, not {arm.server}")

    def _content(
        self, at: tuple[str, ...], name: str, shorten: Callable[[str], str] = str
    ) -> str | None:
        """The text of another file, which the run keeps; None, and a fault, if it is missing."""
        try:
            text = shorten(
                Path(name).read_text(encoding="utf-8") if self._kept is None else self._kept[name]
            )
        except (OSError, UnicodeDecodeError, KeyError) as error:
            self._fault(at, f"{at[-1]} = {name!r}: {error}")
            return None
        self._files[name] = text
        return text

    def _login(self, at: tuple[str, ...], given: Any) -> str | LoginForm | None:
        place = (*at, "login") if line_of(self._text, (*at, "login")) else ("login",)
        if isinstance(given, str):
            found: str | None = self._value(place, given, model.Login)
            return found
        if given is None:
            return None
        values = self._values(place, given, LoginTable)
        return LoginForm(**values) if {"page", "form"} <= values.keys() else None

    def _traffic_table(self, at: tuple[str, ...], name: str, table: Any) -> None:
        values = self._values(at, table, TrafficTable)
        requests = []
        for one in values.pop("requests", []):
            found = self._values((*at, "requests"), one, Request)
            if len([key for key in ("body", "form", "json") if key in found]) > 1:
                self._fault((*at, "requests"), "body, form and json: one of them")
            if "path" in found:
                requests.append(Request(**found))
        try:
            traffics.masks(values.get("mask", ()))
        except re.error as error:
            self._fault((*at, "mask"), f"mask: {error.pattern!r} is no expression: {error}")
        if "mask" in values:
            values["mask"] = tuple(values["mask"])
        self._traffic[name] = Traffic(tuple(requests), **values)

    def _traffic_of(self, at: tuple[str, ...], name: str) -> Traffic | None:
        """The table of that name, or what a log of nginx holds."""
        if name in self._traffic:
            return self._traffic[name]
        if not name.endswith((".log", ".json")):
            names = [*self._traffic, "the path of a .log of nginx"]
            self._fault((*at, "traffic"), _not_allowed("traffic", name, names))
            return None
        text = self._content((*at, "traffic"), name, traffics.shorten_log)
        try:
            return None if text is None else traffics.of_log(text)
        except ValueError as error:
            self._fault((*at, "traffic"), f"traffic = {name!r}: {error}")
            return None

    def _env(self, at: tuple[str, ...], given: Mapping[str, Any]) -> dict[str, str]:
        for name in given:
            if not _ENV_NAME.match(name) or _ENV_OF_THE_STACK.fullmatch(name):
                text = f"{name} cannot be a variable of the app: "
                why = "the stack sets it" if name.isupper() else "names are capitals, digits, _"
                self._fault((*at, "env"), text + why)
        return {name: str(value) for name, value in given.items()}

    def _python(self, at: tuple[str, ...], given: str) -> str:
        if given and shutil.which(given) is None:
            self._fault((*at, "python"), f"python = {given!r}: there is no such program")
        return given

    def _requirements(self, at: tuple[str, ...], given: str | list[str]) -> tuple[str, ...]:
        """The pins; those of a file if *given* is its path."""
        lines = given
        if isinstance(given, str):
            if not given:
                return ()
            if (content := self._content((*at, "requirements"), given)) is None:
                return ()
            lines = content.splitlines()
        pins = [line.split(" #")[0].strip() for line in lines if not line.startswith("#")]
        pins = [line for line in pins if line]
        if isinstance(given, list):
            for pin in pins:
                if not _PIN.match(pin):
                    text = f"requirements: {pin!r} is no pin; one is 'flask==3.1.0'"
                    self._fault((*at, "requirements"), text)
        return tuple(pins)

    def _start_alike(self) -> None:
        """Arms with files of their own are started in another way. Then all are, because start_s
        would compare two ways otherwise."""
        if any(arm.has_own_tree for arm in self._arms.values()):
            for name, arm in self._arms.items():
                if arm.server == ArmSpec.server:
                    self._arms[name] = replace(arm, ref=arm.ref or sources.WORKING_TREE)

    def _settings(self, at: tuple[str, ...], settings: Mapping[str, Any]) -> dict[str, str]:
        texts = {}
        for key, value in settings.items():
            if key.removeprefix(toggles.PREFIX) in RESERVED:
                self._fault((*at, key), f"{key}: the lab sets it itself, for every arm")
            elif (key, value) == ("STACK_PROCESSES", "auto"):
                self._fault(
                    (*at, key), f"{key}: must be a number, so that arms are the same anywhere"
                )
            else:
                texts[key] = str(value).lower() if isinstance(value, bool) else str(value)
        try:
            values = toggles.read(texts)
        except toggles.ToggleError as error:
            for fault in str(error).splitlines():
                key = re.split(r"[=: ]", fault)[0]
                given_as = "app" if line_of(self._text, (*at, key)) is None else key
                self._fault((*at, given_as), fault)
            return texts
        return {key: values[key] for key in texts}

    def _all_loads(self, top: File) -> None:
        for name, table in top.traffic.items():
            self._traffic_table(("traffic", name), name, table)
        for name, table in top.loads.items():
            self._load(("loads", name), name, table, top.path)
        paths = {load.path for load in self._loads.values() if share(load.rate) is not None}
        if len(paths) > 1:
            text = f"shares of one capacity need one path, not {', '.join(sorted(paths))}"
            self._fault(("loads",), text)

    def _load(self, at: tuple[str, ...], name: str, table: Any, path: str) -> None:
        kind = table.get("kind") if isinstance(table, dict) else None
        if not isinstance(kind, str) or kind not in _LOAD_KEYS:
            self._values(at, {"kind": kind} if kind else table, Load, ("kind",), ("kind",))
            return
        users = table.get("users")
        if kind == "closed" and isinstance(users, list) and users:
            for count in users:
                called = f"{name}, {count} user{'s' * (count != 1)}"
                self._load(at, called, {**table, "users": count}, path)
            return
        traffic = None
        if "traffic" in table and "traffic" in _LOAD_KEYS[kind]:
            traffic = self._traffic_of(at, str(table["traffic"]))
            table = {key: value for key, value in table.items() if key != "traffic"}
        required = [key for key in ("rate", "how") if key in _LOAD_KEYS[kind]]
        if traffic and traffic.moments and kind == "open":
            required = []  # the log has the moments
            table.setdefault("rate", len(traffic.moments) / (traffic.moments[-1] or 1.0))
        values = self._values(at, table, Load, _LOAD_KEYS[kind], required)
        default = 8 if kind == "closed" else Load.users
        load = Load(**{"name": name, "path": path, "users": default, **values})
        if "seconds" in table and "requests" in table:
            text = "seconds and requests: one of them ends a load, leave the other out"
            self._fault((*at, "requests"), text)
        self._locustfile(at, load, {*table, *(["traffic"] if traffic else [])})
        for arm in load.arms:
            self._check_name((*at, "arms"), arm, "arm")
        under = [arm for arm in self._arms.values() if not load.arms or arm.name in load.arms]
        others = [arm.name for arm in under if arm.server != ArmSpec.server]
        if kind == "reload" and others:
            text = f"the lab reloads uwsgi only; other servers have {', '.join(others)}"
            self._fault(at, text)
        if load.name in self._loads:
            self._fault(("loads",), f"two loads are called {load.name!r}: rename one")
        if traffic is not None and traffic.requests:
            first = next((r.path for r in traffic.requests if r.method == "GET"), path)
            load = replace(load, traffic=traffic, path=table.get("path", first))
        self._loads[load.name] = load
        if load.traffic is not None and kind == "rotation":
            self._loads |= {one.name: one for one in _by_route(load, load.traffic)}

    def _locustfile(self, at: tuple[str, ...], load: Load, keys: Collection[str]) -> None:
        if load.locustfile:
            self._content((*at, "locustfile"), load.locustfile)
            for key in {"traffic", "requests", "expect"} & set(keys):
                text = f"{key}: the locustfile decides what is sent, leave it out"
                self._fault((*at, key), text)

    def _answer(self, names: Sequence[str], main: Load | None) -> tuple[str, str] | None:
        if len(names) != 2:
            return None
        found = [self._check_name(("answer",), name, "arm") for name in names]
        arm, against = names
        if all(found) and self._arms[arm].against != against:
            text = f"answer = {list(names)}: {arm!r} is not compared with {against!r}"
            self._fault(("answer",), text)
        for name in names:
            if main and main.arms and name not in main.arms:
                self._fault(("answer",), f"{name!r} is not among the arms of the primary load")
        return arm, against

    def _figure(
        self,
        at: tuple[str, ...],
        table: Any,
        spec: type,
        allowed: Sequence[str] = (),
        required: Sequence[str] = (),
    ) -> dict[str, Any]:
        """The values of a table that names a metric under a load, and perhaps two arms that are
        compared with each other."""
        values = self._values(at, table, spec, allowed, required)
        for key in ("arm", "against", "load", "metric", "stand_in"):
            if key in values:
                self._check_name((*at, key), values[key])
        load, metric = self._loads.get(values.get("load", "")), values.get("metric")
        if load and metric in COMPARABLE and metric not in FIGURES[load.kind]:
            figures = ", ".join(name for name in FIGURES[load.kind] if name in COMPARABLE)
            text = f"a load of kind {load.kind} has no {metric}; it has {figures}"
            self._fault((*at, "metric"), text)
        if load and metric == "eagain" and not load.eagain:
            text = f"eagain is counted only where {load.name!r} has eagain = true"
            self._fault((*at, "metric"), text)
        for key in ("arm", "against"):
            if load and load.arms and key in values and values[key] not in load.arms:
                text = f"{values[key]!r} is not among the arms of {load.name!r}"
                self._fault((*at, key), text)
        arm, against = (self._arms.get(values.get(key, "")) for key in ("arm", "against"))
        if arm and against and arm.against != against.name and against.against != arm.name:
            text = f"{arm.name!r} is not compared with {against.name!r}: give one of them against"
            self._fault((*at, "against"), text)
        return values

    # ── Values ──────────────────────────────────────────────────────────────────────────────────

    def _fault(self, keys: tuple[str, ...], text: str) -> None:
        """Add *text* at the line of *keys*, or of what encloses them when they are missing."""
        line = None
        while keys and line is None:
            line = line_of(self._text, keys)
            keys = keys[:-1]
        self._faults.add((line or 0, text))

    def _values(
        self,
        at: tuple[str, ...],
        table: Any,
        spec: type,
        allowed: Sequence[str] = (),
        required: Sequence[str] = (),
    ) -> dict[str, Any]:
        """The correct values of *table*, whose keys are the fields of the dataclass *spec*.

        *allowed*: those of its fields that may be here, all but the name by default. *required*:
        those that must be, besides the ones without a default.
        """
        hints = get_type_hints(spec, include_extras=True)
        hints = {key: hints[key] for key in allowed or hints if key in hints and key != "name"}
        if not isinstance(table, dict):
            self._fault(at, f"must be a table of {', '.join(hints)}")
            return {}
        found = {}
        for key, value in table.items():
            if key not in hints:
                self._fault((*at, key), _not_allowed("key", key, hints))
            elif (checked := self._value((*at, key), value, hints[key])) is not None:
                found[key] = checked
        for one in fields(spec):
            if one.name in table or one.name not in hints:
                continue
            if one.name in required or one.default is one.default_factory is MISSING:
                where = f" in {' '.join(at)}" if at else ""
                self._fault((*at, one.name), f"{one.name} is missing{where}")
        return found

    def _value(self, at: tuple[str, ...], value: Any, hint: Any, what: str = "") -> Any:
        """*value* as the type *hint* has it; None, and a fault, if it is of another type."""
        if NoneType in get_args(hint):
            hint = get_args(hint)[0]
        try:
            return msgspec.convert(value, hint)
        except msgspec.ValidationError as error:
            meta = next((one for one in get_args(hint) if isinstance(one, Meta)), None)
            if meta and meta.description:
                self._fault(at, f"{at[-1]} = {value!r}: must be {meta.description}")
            elif get_args(hint):
                self._fault(at, _not_allowed(what or at[-1], value, get_args(hint)))
            else:
                self._fault(at, f"{at[-1]} = {value!r}: {error}")
            return None

    def _check_name(self, at: tuple[str, ...], value: str, what: str = "") -> bool:
        allowed = self._names[what or at[-1]]
        if value not in allowed:
            self._fault(at, _not_allowed(what or at[-1], value, allowed))
        return value in allowed


def _with_controls(
    arms: Mapping[str, ArmSpec], baseline: str, doses: Sequence[str]
) -> tuple[ArmSpec, ...]:
    """*arms*, the twin of the baseline, and the baseline with each dose and with twice it."""
    base = arms[baseline]
    twin = replace(base, name=f"{baseline} (twin)", against=baseline, role="twin")
    both = [one for dose in doses for one in (dose, canaries.doubled(dose))]
    return (*arms.values(), twin, *(model.dosed(base, dose) for dose in both))


def _by_route(load: Load, traffic: Traffic) -> Iterator[Load]:
    """A rotation for each route of *traffic*, a third as long, if there are several."""
    routes = traffic.routes()
    for name, requests in routes.items() if len(routes) > 1 else ():
        # Its requests have no pauses in a rotation.
        of_route = replace(traffic, requests=requests, moments=())
        path = next((one.path for one in requests if one.method == "GET"), load.path)
        rounds = max(2, load.rounds // 3)
        yield replace(load, name=f"{load.name}: {name}", traffic=of_route, path=path, rounds=rounds)


def _near(name: str, allowed: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(allowed), n=1)
    return f", did you mean {near[0]}?" if near else ""


def _not_allowed(what: str, value: object, allowed: Collection[str]) -> str:
    near = _near(str(value), allowed) or ";"
    return f"{value!r} is not a valid {what}{near} allowed: {', '.join(allowed) or 'none'}"


def shown(path: Path) -> str:
    """The path as a person in the checkout would type it."""
    with contextlib.suppress(ValueError):
        return str(path.resolve().relative_to(EXPERIMENTS.parent.parent))
    return str(path)
