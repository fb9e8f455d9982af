"""However many users start at once, only one of them sends a password at a time."""

import threading
from pathlib import Path
from time import sleep

from tests.loadtest.stand_in import Answer, StandIn, run, serving


def test_registrations_do_not_overlap(tmp_path: Path) -> None:
    lock = threading.Lock()
    sending = 0
    overlaps: list[int] = []
    app = StandIn()

    def count(method: str, path: str) -> Answer | None:
        nonlocal sending
        if (method, path) == ("POST", "/auth/register"):
            with lock:
                sending += 1
                overlaps.append(sending)
            sleep(0.1)
            with lock:
                sending -= 1
        return None

    app.fault = count
    with serving(app) as url:
        done = run(
            *("--profile", "soak", "--host", url, "--results", str(tmp_path)),
            SOAK_USERS="8",
            SOAK_RATE="100",
            SOAK_SECONDS="4",
            SOAK_REQUESTS="0",
        )
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(overlaps) == 8
    assert max(overlaps) == 1
