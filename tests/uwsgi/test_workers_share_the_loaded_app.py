"""Objects that are loaded before the fork stay in shared memory after a garbage collection."""

from pathlib import Path

import psutil

from tests.servers.uwsgi import APP, ask, serving

MB = 1e6

# About 60 MB of objects that the garbage collector visits, and a request that runs it.
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
    assert together > 40, "the workers do not have the objects, so the test shows nothing"
    assert max(alone) < 15
