"""What is loaded before the fork stays shared memory, whatever the garbage collector does."""

from pathlib import Path

import pytest

from lab.measure import counters
from tests import fixtures_uwsgi
from tests.fixtures_uwsgi import APP, ask, serving

MB = 1e6

# About 60 MB of objects that the garbage collector looks at, and a request that makes it look.
LARGE = """
import gc
kept = [[number] for number in range(700_000)]
answer = application

def application(environ, start_response):
    gc.collect()
    return answer(environ, start_response)
"""


def test_a_full_collection_copies_no_shared_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fixtures_uwsgi, "APP", APP + LARGE)
    with serving(tmp_path, STACK_PROCESSES="2", STACK_THREADS="1") as server:
        workers = set(server.workers().values())
        answered: set[int] = set()
        while answered != workers:
            answered.add(int(ask(server.port).split()[1]))
        alone = [counters.memory([pid]).uss_bytes / MB for pid in workers]
        together = counters.memory(workers).pss_bytes / MB
    assert together > 40, "the objects are not in the workers: the test would see nothing"
    assert max(alone) < 15
