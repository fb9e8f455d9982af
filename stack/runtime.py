"""What any way of running the stack can be asked to do: containers or local processes, alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

# In the order of a request's path, which is also the order that people read.
SERVICES = ("nginx", "app", "redis")


@dataclass(frozen=True)
class ServiceStatus:
    """One service as `make status` shows it. ``id`` is a pid or a container's name."""

    service: str
    id: str
    address: str
    healthy: bool
    uptime_s: float | None
    memory_bytes: int | None


@dataclass(frozen=True)
class Usage:
    """What one service has used since it started: processor time of all its processes, memory."""

    cpu_seconds: float
    pss_bytes: int


class Runtime(Protocol):
    """One copy of the stack. Every method raises StackError when it cannot do what it says."""

    name: str

    def up(self) -> None:
        """Start what is missing and return once the stack answers; leave nothing on failure."""

    def down(self, *, volumes: bool = False) -> None:
        """End what this copy started; with *volumes*, forget its data and secrets as well."""

    def address(self) -> str:
        """Where the stack answers, such as ``http://127.0.0.1:8080``."""

    def is_up(self) -> bool: ...

    def status(self) -> list[ServiceStatus]: ...

    def usage(self) -> dict[str, Usage]:
        """By service. Two readings, before and after, are what a measurement needs."""

    def reload(self) -> None:
        """Load the app's code anew without refusing a request."""

    def logs(self, follow: bool = True) -> int:
        """Print the services' logs, each line with its service; returns an exit code."""

    def metrics(self) -> str:
        """The exporter's answer: Prometheus text."""

    def server_log(self) -> str:
        """What uWSGI itself has said since it started."""
