"""The state file of a running copy, and whether it still describes a running one."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from stack import processes


@dataclass(frozen=True)
class State:
    """Written when supervisord starts, removed when the copy is down."""

    boot_id: str
    supervisor_pid: int
    supervisor_started_ticks: int
    run: str  # the short name of the run directory
    services: list[str]
    ports: dict[str, int]
    toggles: dict[str, str]
    binaries: str = ""  # where the app's programs are, if not in .venv

    @classmethod
    def load(cls, file: Path) -> State | None:
        """Read *file*; None when it is missing or not a complete state."""
        try:
            return cls(**json.loads(file.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def save(self, file: Path) -> None:
        fresh = file.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        fresh.touch(mode=0o600)  # STACK_USERS_URL may hold a password
        fresh.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")
        fresh.rename(file)

    def supervisor(self) -> processes.Process | None:
        """Return supervisord; None after a reboot, or if another process has its pid now."""
        return next((p for p in self.processes() if p.pid == self.supervisor_pid), None)

    def processes(self) -> list[processes.Process]:
        """Return the living processes of this copy, even if its supervisord was killed."""
        if processes.boot_id() != self.boot_id:
            return []
        return processes.in_session(self.supervisor_pid, self.supervisor_started_ticks)
