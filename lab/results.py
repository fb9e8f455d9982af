"""The folder of a run: what was planned, every trial as it ends, and which run is the newest.

    results/<experiment>/<time>/plan.json      what was to be done, where, and with which seed
    results/<experiment>/<time>/trials.jsonl   a line a trial, void ones too
    results/<experiment>/latest                the newest of them

A run that was cut off is continued in its folder, so nothing here is kept in memory alone.
"""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lab.trial import Trial

RESULTS = Path("results")
PLAN, TRIALS, VERDICT = "plan.json", "trials.jsonl", "verdict.json"
FACTS, REPORT = "facts.json", "report.html"

# What makes a run the one that it is: of its plan, and of the conditions that a restart may change.
_OF_A_RUN = ("experiment", "toml", "blocks", "quick", "runtime")
_OF_A_MACHINE = ("kernel", "cpu", "cores", "python", "versions", "revision")


class ResultsError(Exception):
    """A folder that cannot be written, or does not hold a run; the text says what to do."""


@dataclass(frozen=True)
class Plan:
    """What a run is to do, and on what."""

    experiment: str
    toml: str
    file: str  # where the toml was read from, for messages
    seed: int
    blocks: int
    quick: bool
    runtime: str
    capacity_rps: float | None  # what the baseline alone can do; None until it is measured
    conditions: Mapping[str, Any]
    servers: Mapping[str, Any]
    started: str  # UTC, ISO 8601
    arms: Sequence[Mapping[str, Any]]
    loads: Sequence[Mapping[str, Any]]
    finished: str | None = None  # None: it was cut off, or is still running

    def differences(self, other: Plan) -> list[str]:
        """Why trials of both must not stand in one run; empty where they may."""
        found = [name for name in _OF_A_RUN if getattr(self, name) != getattr(other, name)]
        for name in _OF_A_MACHINE:
            one, another = self.conditions.get(name), other.conditions.get(name)
            if isinstance(one, Mapping) and isinstance(another, Mapping):
                known = sorted(one.keys() & another.keys())
                found += [f"{name} of {key}" for key in known if one[key] != another[key]]
            elif one != another and None not in (one, another):
                found.append(name)
        return found


class Run:
    """One folder. Its trials are read when it is opened and kept in step with the file."""

    def __init__(self, folder: Path, plan: Plan, trials: Iterable[Trial] = ()) -> None:
        self.folder = folder
        self.plan = plan
        self.trials = list(trials)
        self._torn = False  # the file ends in the middle of a line

    @classmethod
    def create(cls, plan: Plan, results: Path = RESULTS) -> Run:
        """A new folder, which `latest` then points to. Raises ResultsError."""
        parent = results / plan.experiment
        stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H-%M-%SZ")
        for name in (stamp, *(f"{stamp}-{number}" for number in range(2, 100))):
            try:
                (parent / name).mkdir(parents=True)
            except FileExistsError:
                continue
            except OSError as error:
                raise ResultsError(f"cannot write to {parent}: {error.strerror}") from error
            run = cls(parent / name, plan)
            run.save_plan(plan)
            (run.folder / TRIALS).touch()
            run.point_latest()
            return run
        raise ResultsError(f"{parent} has too many runs of this second: try again")

    @classmethod
    def open(cls, folder: Path) -> Run:
        """Read what *folder* holds, and change nothing: another command may be at work in it.

        Raises ResultsError.
        """
        try:
            plan = Plan(**json.loads((folder / PLAN).read_text(encoding="utf-8")))
            text = (folder / TRIALS).read_text(encoding="utf-8")
        except (OSError, ValueError, TypeError) as error:
            raise ResultsError(f"{folder} does not hold a run of the lab: {error}") from error
        # A line without its end was cut off with the run, or is just being written.
        whole = text[: text.rfind("\n") + 1]
        try:
            trials = [Trial.from_json(line) for line in whole.splitlines()]
        except (ValueError, KeyError, TypeError) as error:
            raise ResultsError(
                f"{folder / TRIALS} holds a line that is no trial: {error}"
            ) from error
        run = cls(folder, plan, trials)
        run._torn = whole != text
        return run

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep the folder for this process. Raises ResultsError when another one works in it."""
        handle = os.open(self.folder, os.O_RDONLY)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ResultsError(
                    f"another command is at work in {self.folder}: wait for it, or FRESH=1"
                ) from None
            yield
        finally:
            os.close(handle)

    def append(self, trials: Iterable[Trial]) -> None:
        """Write *trials* so that a crash of the whole machine leaves them."""
        new = list(trials)
        if self._torn:
            self.rewrite()
        with (self.folder / TRIALS).open("a", encoding="utf-8") as stream:
            stream.write("".join(f"{trial.to_json()}\n" for trial in new))
            stream.flush()
            os.fsync(stream.fileno())
        self.trials += new

    def rewrite(self) -> None:
        """Write all trials anew, after something was found out about earlier ones."""
        _replace(self.folder / TRIALS, "".join(f"{trial.to_json()}\n" for trial in self.trials))
        self._torn = False

    def save_plan(self, plan: Plan) -> None:
        self.plan = plan
        _replace(self.folder / PLAN, json.dumps(asdict(plan), indent=2, ensure_ascii=False) + "\n")

    def finish(self) -> None:
        self.save_plan(replace(self.plan, finished=datetime.now(UTC).isoformat(timespec="seconds")))

    def save_verdict(self, verdict: Mapping[str, Any]) -> None:
        text = json.dumps(verdict, indent=2, ensure_ascii=False, allow_nan=False)
        _replace(self.folder / VERDICT, text + "\n")

    def point_latest(self) -> None:
        new = self.folder.parent / f".latest-{os.getpid()}"
        new.unlink(missing_ok=True)
        new.symlink_to(self.folder.name)
        new.replace(self.folder.parent / "latest")


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
    """Write *file* so that whoever reads it meanwhile sees the old or the new, never a part."""
    handle, name = tempfile.mkstemp(prefix=f".{file.name}-", dir=file.parent)
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    Path(name).chmod(0o644)
    Path(name).replace(file)
