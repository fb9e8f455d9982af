"""Reads from what a Swarm says of a service how far a deploy is.

`docker service update --detach=false` also waits, but it writes the service again, which fails with
"update out of sequence" while the Swarm is working on it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deploy.swarm.convert import DEPLOYED

# The first version of a service has none to return to: the Swarm starts its tasks again and again.
_FAILURES = 5


@dataclass(frozen=True)
class Progress:
    """How far a service is, in words; *reasons* has a line for each task that says why it waits
    or failed."""

    text: str
    finished: bool = False
    failed: bool = False
    reasons: str = ""


def progress(
    service: Mapping[str, Any], tasks: Sequence[Mapping[str, Any]], deployed: str
) -> Progress:
    """Return the progress of *service*, from `docker service inspect` and its *tasks*.

    *deployed* is the label of convert.DEPLOYED that the service got.
    """
    # The Swarm deletes the status of the last update as soon as the service changes.
    status = service.get("UpdateStatus") or {}
    state = str(status.get("State", ""))
    reasons = "\n".join(dict.fromkeys(_reason(task) for task in tasks if _reason(task)))
    if state == "rollback_started":
        return Progress("the new version failed; the Swarm returns to the one before")
    if "paused" in state:
        return Progress(f"the Swarm has stopped the update ({state})", failed=True, reasons=reasons)
    # The status alone is not enough: after a return it was seen "completed" or deleted, once.
    if state == "rollback_completed" or service["Spec"]["Labels"].get(DEPLOYED) != deployed:
        return Progress(
            "the new version failed, and the Swarm has returned to the one before",
            failed=True,
            reasons=reasons,
        )
    current = [task for task in tasks if _template(task["Spec"]) == _template(_spec(service))]
    wanted = [task for task in current if task["DesiredState"] == "running"]
    running = [task for task in wanted if task["Status"]["State"] == "running"]
    replicated = service["Spec"]["Mode"].get("Replicated")
    # A global service has a task on each node, of this version or of the one before.
    everywhere = sum(task["DesiredState"] == "running" for task in tasks)
    number = int(replicated["Replicas"]) if replicated else max(everywhere, 1)
    text = f"{len(running)} of {number} tasks run the new version"
    failures = [t for t in current if t["Status"]["State"] in {"failed", "rejected"}]
    if not state and len(failures) >= _FAILURES:
        return Progress(f"{text}; {len(failures)} have failed", failed=True, reasons=reasons)
    if waiting := [task["Status"]["Err"] for task in wanted if task["Status"].get("Err")]:
        text += f" ({waiting[0]})"
    finished = state in {"", "completed"} and len(running) == number == len(wanted)
    return Progress(text, finished=finished, reasons=reasons)


def _spec(service: Mapping[str, Any]) -> Mapping[str, Any]:
    template: Mapping[str, Any] = service["Spec"]["TaskTemplate"]
    return template


def _template(spec: Mapping[str, Any]) -> Any:
    return _filled({part: spec.get(part) for part in ("ContainerSpec", "Resources", "ForceUpdate")})


def _filled(value: Any) -> Any:
    """Return *value* without what is empty: the engine shows that of a service, not of a task."""
    if isinstance(value, Mapping):
        filled = {key: _filled(content) for key, content in value.items()}
        return {key: content for key, content in filled.items() if content}
    return [_filled(content) for content in value] if isinstance(value, list) else value


def _reason(task: Mapping[str, Any]) -> str:
    error = task["Status"].get("Err")
    return f"{task['Status']['State']}: {error}" if error else ""
