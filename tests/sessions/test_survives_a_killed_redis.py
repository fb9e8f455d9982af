"""Redis is killed and restarted under load: no acknowledged session or change is lost, and the app
serves again within a second.
"""

import threading
import time

import pytest

from app.redis_client import connect
from tests.servers.redis import running_redis
from tests.sessions.pages import make_app

CYCLES = 3
WRITERS = 4


class Writer(threading.Thread):
    """Logs users in, changes their sessions and records what was acknowledged."""

    def __init__(self, app, name):
        super().__init__(daemon=True)
        self.app, self.prefix = app, name
        self.acknowledged = {}
        self.statuses = set()
        self.stopping = threading.Event()
        self.last_answer = 0.0

    def run(self):
        number = 0
        while not self.stopping.is_set():
            number += 1
            user = f"{self.prefix}-{number}"
            browser = self.app.test_client()
            if self._post(browser, f"/login/{user}"):
                self.acknowledged[user] = (browser, None)
                if self._post(browser, "/set/number", json=number):
                    self.acknowledged[user] = (browser, number)

    def _post(self, browser, path, **more):
        answer = browser.post(path, **more)
        self.statuses.add(answer.status_code)
        if answer.status_code == 200:
            self.last_answer = time.monotonic()
            return True
        time.sleep(0.01)
        return False


@pytest.fixture
def redis():
    with running_redis() as server:
        yield server


@pytest.mark.quiet
def test_nothing_acknowledged_is_lost(redis):
    app = make_app(connect(redis.url, redis.password))
    writers = [Writer(app, f"writer-{number}") for number in range(WRITERS)]
    for writer in writers:
        writer.start()
    recoveries = []
    for _ in range(CYCLES):
        time.sleep(0.5)
        redis.kill()
        time.sleep(0.3)
        redis.start()
        up = time.monotonic()
        while all(writer.last_answer < up for writer in writers):
            assert time.monotonic() < up + 10
            time.sleep(0.005)
        recoveries.append(max(writer.last_answer for writer in writers) - up)
    time.sleep(0.3)
    for writer in writers:
        writer.stopping.set()
        writer.join(10)
    statuses = set().union(*(writer.statuses for writer in writers))
    assert statuses <= {200, 503}
    acknowledged = lost = 0
    for writer in writers:
        for user, (browser, number) in writer.acknowledged.items():
            acknowledged += 1
            held = browser.get("/all").json
            stale = number is not None and held.get("number") != number
            lost += held.get("user") != user or stale
    slowest = max(recoveries)
    print(f"{acknowledged} sessions acknowledged, {lost} lost; back after {slowest * 1000:.0f} ms")
    assert acknowledged > 50
    assert lost == 0
    assert slowest < 1
