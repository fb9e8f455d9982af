"""What is loaded before the fork stays shared memory, whatever the garbage collector does."""

from pathlib import Path

import psutil

from tests.servers.uwsgi import APP, ask, serving

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


def test_a_full_collection_copies_no_shared_page(tmp_path: Path) -> None:
    with serving(tmp_path, app=APP + LARGE, STACK_PROCESSES="2", STACK_THREADS="1") as server:
        workers = set(server.workers().values())
        answered: set[int] = set()
        while answered != workers:
            answered.add(int(ask(server.port).split()[1]))
        memory = [psutil.Process(pid).memory_full_info() for pid in workers]
    alone = [one.uss / MB for one in memory]
    together = sum(one.pss for one in memory) / MB
    assert together > 40, "the objects are not in the workers: the test would see nothing"
    assert max(alone) < 15
