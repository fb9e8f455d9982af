"""`make faults`: reads what is to be tried, tries it, writes the table."""

from __future__ import annotations

import os
import platform
import secrets
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path

from faults import report
from faults.catalogue import FAULTS
from faults.fault import Fault
from faults.stage import Stage
from faults.stores import operate_missing
from faults.trial import Outcome, attempt
from stack.checkout import CHECKOUT
from stack.choose import choose
from stack.errors import StackError
from stack.progress import Progress

RESULTS = CHECKOUT / "results" / "faults"


def faults(environ: Mapping[str, str]) -> int:
    """Try the faults that ONLY names, or all; return 1 if a promise is broken.

    RUNTIME=local|compose; DURING=reload|deploy replaces the app in the middle of each fault;
    PUBLISH=1 writes the rows into their table in docs/faults.md.
    """
    chosen = select(environ.get("ONLY", ""))
    during = environ.get("DURING", "")
    if during not in ("", "reload", "deploy"):
        raise StackError(f"DURING={during!r}: must be reload, deploy or empty")
    if during == "deploy" and (why := operate_missing("")):
        raise StackError(f"DURING=deploy: {why}")
    runtime, reason = choose(environ)
    print(f"Runtime: {runtime.kind}, because {reason} (RUNTIME= overrides it).")
    folder = new_folder()
    progress = Progress.to_terminal()
    facts = {
        "Runtime": runtime.kind,
        "run": f"{time.strftime('%Y-%m-%d')} {_commit()}",
        "kernel": platform.release().partition("-")[0],
        "cores": str(len(os.sched_getaffinity(0))),
        **({"during": f"a {during} in the middle of each"} if during else {}),
    }
    outcomes: list[Outcome] = []
    for outcome in tried(chosen, runtime.kind, during, progress):
        progress.clear()
        print(f"    {said(outcome)}", flush=True)
        outcome.run = facts["run"]
        outcomes.append(outcome)
        outcomes.sort(key=lambda one: list(FAULTS).index(one.fault))
        report.write(folder, outcomes, facts)
    broken = [outcome.fault for outcome in outcomes if outcome.broken]
    if environ.get("PUBLISH"):
        report.publish(outcomes, runtime.kind, during)
    print(f"\nThe table: {folder.relative_to(CHECKOUT)}/faults.md")
    if broken:
        print(f"Broken promises: {', '.join(broken)}")
    return 1 if broken else 0


def new_folder() -> Path:
    """Return a folder that is no other run's, even if two begin in the same second."""
    return RESULTS / f"{time.strftime('%Y-%m-%d-%H%M%S')}-{secrets.token_hex(2)}"


def _commit() -> str:
    """Return the short name of the commit, with a + if files of it are changed."""
    done = subprocess.run(
        ["git", "describe", "--always", "--exclude=*", "--dirty=+"],
        cwd=CHECKOUT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.stdout.strip()


def select(only: str) -> list[Fault]:
    """Return the faults of the comma-separated *only*. Raises StackError for an unknown name."""
    if not only:
        return [fault for fault in FAULTS.values() if not fault.on_request]
    names = [name.strip() for name in only.split(",") if name.strip()]
    if unknown := [name for name in names if name not in FAULTS]:
        raise StackError(f"ONLY={','.join(unknown)}: there are {', '.join(FAULTS)}")
    return [fault for name, fault in FAULTS.items() if name in names]


def tried(chosen: Sequence[Fault], kind: str, during: str, progress: Progress) -> Iterator[Outcome]:
    """Yield an outcome for each fault; neighbours with the same settings share a copy."""
    possible = []
    for fault in chosen:
        if kind not in fault.runtimes:
            yield Outcome(fault.name, kind, missing=f"for {' and '.join(fault.runtimes)} only")
        elif during == "deploy" and fault.restores:
            yield Outcome(fault.name, kind, missing="a deploy and a restore exclude each other")
        elif why := fault.missing(kind):
            yield Outcome(fault.name, kind, missing=why)
        else:
            possible.append(fault)
    possible.sort(key=_copy)
    for _, group in groupby(possible, key=_copy):
        yield from _on_one_copy(list(group), kind, during, progress)


def _copy(fault: Fault) -> tuple[tuple[tuple[str, str], ...], bool, bool]:
    return tuple(sorted(fault.settings.items())), fault.small_disk, fault.clock


def _on_one_copy(
    waiting: list[Fault], kind: str, during: str, progress: Progress
) -> Iterator[Outcome]:
    while waiting:
        with _stage(waiting[0], kind, progress) as stage:
            while waiting:
                fault = waiting.pop(0)
                progress.step(f"{fault.name}: {fault.what}")
                outcome = attempt(fault, stage, during)
                yield outcome
                if outcome.broken and not stage.wait_until_it_answers(30):
                    break  # the next one gets another copy


def _stage(fault: Fault, kind: str, progress: Progress) -> Stage:
    return Stage(
        kind,
        f"faults-{secrets.token_hex(3)}",
        fault.settings,
        progress,
        small_disk=fault.small_disk,
        clock=fault.clock,
    )


def said(outcome: Outcome) -> str:
    """Return the row in one line, for the terminal."""
    if outcome.missing:
        return f"{outcome.fault}: not tried: {outcome.missing}"
    text = report.seen_by_users(outcome)
    lost = f"lost {len(outcome.lost)} of {outcome.acknowledged}"
    text = f"{text}; back after {outcome.back_s:.1f} s; {lost}"
    more = [*outcome.notes, *([f"the {outcome.during}: {outcome.swap}"] if outcome.swap else [])]
    text += "".join(f"; {note}" for note in more)
    return text + "".join(f"\n    BROKEN: {fault}" for fault in outcome.broken)
