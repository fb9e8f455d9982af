"""An app with work that no request waits for: a worker writes reports, and cron deletes old ones.

    flask --app reports work    takes jobs from a list in Redis, one after the other
    flask --app reports cron    runs `clean` now and every CRON_SECONDS (3600) after that

compose.yml runs each as a service. Both end with exit code 0 after SIGTERM: the worker finishes the
job that it has. If Redis cannot be reached, they exit and Compose starts them again.
"""

import json
import os
import re
import signal
import time
import uuid
from pathlib import Path

from flask import Flask, abort, request
from redis import Redis

# The stack's Redis allows keys that begin with "app:", and no blocking commands.
WAITING, RUNNING, FAILED = "app:jobs", "app:jobs:running", "app:jobs:failed"
KEEP_SECONDS = int(os.environ.get("REPORTS_KEEP_SECONDS", "86400"))
STOP = {signal.SIGTERM, signal.SIGINT}

app = Flask(__name__)
reports = Path(os.environ["DATA_DIR"]) / "reports"
reports.mkdir(exist_ok=True)
password = Path(os.environ["REDIS_PASSWORD_FILE"]).read_text(encoding="ascii").strip()
redis = Redis.from_url(os.environ["REDIS_URL"], password=password, decode_responses=True)


@app.get("/")
def front() -> dict[str, int]:
    return {"waiting": redis.llen(WAITING), "failed": redis.llen(FAILED)}


@app.post("/reports")
def order() -> tuple[dict[str, str], int]:
    """Put a job into the list. `seconds` stands for the time that real work takes."""
    job = {"id": uuid.uuid4().hex, "seconds": request.form.get("seconds", 0, int)}
    redis.rpush(WAITING, json.dumps(job))
    return {"id": str(job["id"])}, 202


@app.get("/reports/<name>")
def report(name: str) -> str:
    file = reports / name
    if not re.fullmatch("[0-9a-f]{32}", name) or not file.exists():
        abort(404)
    return file.read_text(encoding="utf-8")


def write(job: dict) -> None:
    """Write the report of a job. A second run after a crash replaces the same file."""
    time.sleep(job["seconds"])
    unfinished = reports / f"{job['id']}.new"
    unfinished.write_text(f"Report {job['id']}\n", encoding="utf-8")
    unfinished.rename(reports / job["id"])


def stops_within(seconds: float) -> bool:
    """Wait, and return whether SIGTERM or SIGINT has come. A blocked signal interrupts no job."""
    return signal.sigtimedwait(STOP, seconds) is not None


@app.cli.command("work")
def work() -> None:
    """Do the jobs. Only one such process may run: it starts with all that are unfinished."""
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP)
    while redis.lmove(RUNNING, WAITING, "RIGHT", "LEFT"):
        pass
    while not stops_within(0):
        # A job stays in a list until it is done, so a crash loses none.
        taken = redis.lmove(WAITING, RUNNING, "LEFT", "RIGHT")
        if taken is None:
            if stops_within(1):
                return
            continue
        try:
            write(json.loads(taken))
            print(f"done: {taken}")
        except Exception:
            app.logger.exception("failed: %s", taken)
            redis.rpush(FAILED, taken)
        redis.lrem(RUNNING, 1, taken)


@app.cli.command("cron")
def cron() -> None:
    """Run `clean` again and again."""
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP)
    while True:
        clean()
        if stops_within(float(os.environ.get("CRON_SECONDS", "3600"))):
            return


def clean() -> None:
    """Delete reports that are older than REPORTS_KEEP_SECONDS (a day)."""
    oldest = time.time() - KEEP_SECONDS
    old = [file for file in reports.iterdir() if file.stat().st_mtime < oldest]
    for file in old:
        file.unlink()
    print(f"deleted: {len(old)}")
