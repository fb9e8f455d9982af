"""The interface that both runtimes implement, containers and local processes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

# In the order of a request's path.
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


class Runtime(Protocol):
    """One copy of the stack. Every method raises StackError when it fails."""

    name: str
    # What `up` starts a copy with.
    toggles: dict[str, str]

    def up(self) -> None:
        """Start what does not run and return once the stack answers; on failure leave nothing."""

    def down(self, *, volumes: bool = False) -> None:
        """Stop this copy; with *volumes*, delete its data and secrets as well."""

    def address(self) -> str:
        """Where the stack answers, such as ``http://127.0.0.1:8080``."""

    def is_up(self) -> bool: ...

    def running_toggles(self) -> Mapping[str, str]:
        """The toggles that the running services were started with, as far as they are known."""

    def status(self) -> list[ServiceStatus]: ...

    def reload(self) -> None:
        """Load the app's new code without refusing a request."""

    def logs(self, follow: bool = True) -> int:
        """Print the services' logs, each line with its service; return an exit code."""

    def metrics(self) -> str:
        """The exporter's Prometheus text."""

    def server_log(self) -> str:
        """The app server's log since its start."""
