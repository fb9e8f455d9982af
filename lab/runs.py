"""The folder of a run: its plan, its trials as they are measured, and the newest run.

    results/<experiment>/<time>/plan.json      what to measure, on which machine, with which seed
    results/<experiment>/<time>/trials.jsonl   one line per trial, void trials included
    results/<experiment>/<time>/verdict.json   what judge/ concludes
    results/<experiment>/latest                a link to the newest run

Everything that a run needs to continue after an interruption is in its folder.
"""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lab.trial import Trial
from loadtest.latest import new_folder, point_to

RESULTS = Path("results")
PLAN, TRIALS, VERDICT = "plan.json", "trials.jsonl", "verdict.json"
FACTS, WHY, REPORT = "facts.json", "why.json", "report.html"

# Trials of two runs may be mixed only if these agree.
_OF_THE_PLAN = ("experiment", "toml", "files", "blocks", "auto", "quick", "rehearsal", "runtime")
_OF_THE_MACHINE = ("kernel", "cpu", "cores", "python", "versions", "refs")


class ResultsError(Exception):
    """A folder that cannot be written or that holds no run. The text says what to do."""


@dataclass(frozen=True)
class Plan:
    """What a run measures, and on which machine."""

    experiment: str
    toml: str
    file: str  # the path of the toml, for messages
    seed: int
    blocks: int
    quick: bool
    runtime: str
    capacity_rps: float | None  # of the baseline; None until it is measured
    conditions: Mapping[str, Any]
    servers: Mapping[str, Any]
    started: str  # UTC, ISO 8601
    arms: Sequence[Mapping[str, Any]]
    loads: Sequence[Mapping[str, Any]]
    finished: str | None = None  # None: interrupted, or still running
    auto: bool = False  # it stops when it knows, after `blocks` blocks at the latest
    refs: str = ""  # of two commits: the command without its numbers; the file is built in
    files: Mapping[str, str] = field(default_factory=dict)  # that the toml names, as read
    cost_us: float | None = None  # CPU time per request of the baseline, if a canary is relative
    minutes: float | None = None  # it chooses `blocks` after its first ones, for so much time
    chosen: bool = False  # and has done so
    rehearsal: bool = False  # shows that every arm starts, and measures nothing

    def differences(self, other: Plan) -> list[str]:
        """Why the trials of both plans must not be mixed; empty if they may be."""
        found = [name for name in _OF_THE_PLAN if getattr(self, name) != getattr(other, name)]
        if None not in (self.minutes, other.minutes) and "blocks" in found:
            found.remove("blocks")
        # A commit that changes documents alone is no reason.
        code = (
            "tree" if self.conditions.get("tree") and other.conditions.get("tree") else "revision"
        )
        for name in (*_OF_THE_MACHINE, code):
            one, another = self.conditions.get(name), other.conditions.get(name)
            if isinstance(one, Mapping) and isinstance(another, Mapping):
                known = sorted(one.keys() & another.keys())
                found += [f"{name} of {key}" for key in known if one[key] != another[key]]
            elif one != another and None not in (one, another):
                found.append(name)
        return found


class Run:
    """One run. `trials` mirrors trials.jsonl."""

    def __init__(self, folder: Path, plan: Plan, trials: Iterable[Trial] = ()) -> None:
        self.folder = folder
        self.plan = plan
        self.trials = list(trials)
        self._torn = False  # trials.jsonl ends in the middle of a line

    @classmethod
    def create(cls, plan: Plan, results: Path = RESULTS) -> Run:
        """Make a new folder and point `latest` to it. Raises ResultsError."""
        parent = results / plan.experiment
        try:
            run = cls(new_folder(parent), plan)
        except OSError as error:
            raise ResultsError(f"cannot write to {parent}: {error.strerror}") from error
        run.save_plan(plan)
        (run.folder / TRIALS).touch()
        point_to(run.folder)
        return run

    @classmethod
    def open(cls, folder: Path) -> Run:
        """Read the run in *folder* without changing it: another command may be writing to it.

        Raises ResultsError.
        """
        try:
            plan = Plan(**json.loads((folder / PLAN).read_text(encoding="utf-8")))
            text = (folder / TRIALS).read_text(encoding="utf-8")
        except (OSError, ValueError, TypeError) as error:
            raise ResultsError(f"{folder} does not hold a run of the lab: {error}") from error
        # A last line without a newline was interrupted, or is being written.
        whole = text[: text.rfind("\n") + 1]
        trials = []
        for number, line in enumerate(whole.splitlines(), start=1):
            try:
                trials.append(Trial.from_json(line))
            except (ValueError, KeyError, TypeError) as error:
                raise ResultsError(
                    f"{folder / TRIALS}, line {number}, is not a trial: {error}"
                ) from error
        run = cls(folder, plan, trials)
        run._torn = whole != text
        return run

    @contextmanager
    def held(self) -> Iterator[None]:
        """Lock the folder for this process. Raises ResultsError if another process holds it."""
        handle = os.open(self.folder, os.O_RDONLY)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ResultsError(
                    f"another command is writing to {self.folder}: wait for it, or use FRESH=1"
                ) from None
            yield
        finally:
            os.close(handle)

    def append(self, trials: Iterable[Trial]) -> None:
        """Add *trials* to the file and sync it to the disk."""
        new = list(trials)
        if self._torn:
            self.rewrite()
        with (self.folder / TRIALS).open("a", encoding="utf-8") as stream:
            stream.write("".join(f"{trial.to_json()}\n" for trial in new))
            stream.flush()
            os.fsync(stream.fileno())
        self.trials += new

    def rewrite(self) -> None:
        """Write all trials again, after earlier ones were voided."""
        _replace(self.folder / TRIALS, "".join(f"{trial.to_json()}\n" for trial in self.trials))
        self._torn = False

    def save_plan(self, plan: Plan) -> None:
        self.plan = plan
        _replace(self.folder / PLAN, json.dumps(asdict(plan), indent=2, ensure_ascii=False) + "\n")

    def finish(self) -> None:
        self.save_plan(replace(self.plan, finished=datetime.now(UTC).isoformat(timespec="seconds")))

    def why(self) -> dict[str, Any]:
        """Arm → what WHY=1 found; {} if it was not asked.

        Raises ResultsError for a damaged file.
        """
        try:
            return dict(json.loads((self.folder / WHY).read_text(encoding="utf-8")))
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise ResultsError(f"{self.folder / WHY} is damaged: {error}") from None

    def save_why(self, found: Mapping[str, Any]) -> None:
        _replace(self.folder / WHY, json.dumps(found, indent=1, ensure_ascii=False) + "\n")

    def save_verdict(self, verdict: Mapping[str, Any]) -> None:
        text = json.dumps(verdict, indent=2, ensure_ascii=False, allow_nan=False)
        _replace(self.folder / VERDICT, text + "\n")


def latest(experiment: str, results: Path = RESULTS) -> Path | None:
    """The folder of the newest run of *experiment*."""
    link = results / experiment / "latest"
    return link.resolve() if (link / PLAN).is_file() else None


def newest(results: Path = RESULTS) -> Path | None:
    """The folder of the newest run of any experiment."""
    plans = [link / PLAN for link in results.glob("*/latest") if (link / PLAN).is_file()]
    found = max(plans, key=lambda plan: plan.parent.resolve().name, default=None)
    return found.parent.resolve() if found else None


def _replace(file: Path, text: str) -> None:
    """Replace *file* in one step: a reader sees the old or the new content, never a part."""
    handle, name = tempfile.mkstemp(prefix=f".{file.name}-", dir=file.parent)
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    Path(name).chmod(0o644)
    Path(name).replace(file)
