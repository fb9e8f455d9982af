"""Numbers that two files must agree on, read from the files that ship."""

import re
from pathlib import Path

from app.redis_client.client import BUDGET
from toggles import TOGGLES, Whole

ROOT = Path(__file__).resolve().parents[2]
INI = (ROOT / "uwsgi/uwsgi.ini").read_text()


def option(name: str) -> str | None:
    """What uwsgi.ini sets *name* to; comments do not count."""
    found = re.search(rf"^{re.escape(name)} = (.*)$", INI, re.M)
    return found[1] if found else None


def number(path: str, expression: str) -> int:
    found = re.search(expression, (ROOT / path).read_text(), re.M)
    assert found, f"{path} has nothing like {expression}"
    return int(found[1])


def highest(toggle: str) -> int:
    kind = TOGGLES[toggle].kind
    assert isinstance(kind, Whole)
    return kind.high


GRACE = number("uwsgi/generation.py", r"^STOP_GRACE_SECONDS = (\d+)$")
MERCY = int(option("worker-reload-mercy") or 0)


def test_a_worker_may_finish_its_longest_request_before_it_is_killed() -> None:
    assert highest("STACK_HARAKIRI") < MERCY < GRACE


def test_the_local_runtime_waits_longer_than_the_entrypoint() -> None:
    assert number("stack/local/supervisor.py", r'^STOP = .*"app": \("TERM", (\d+)\)') > GRACE


def test_the_app_gives_up_on_redis_long_before_harakiri() -> None:
    assert BUDGET < 1, "a request without Redis has its 503 within a second"


def test_a_connection_waits_for_its_request_as_long_as_a_worker_would() -> None:
    waits = number("uwsgi/listening.py", r"^DEFER_ACCEPT_SECONDS = (\d+)$")
    assert waits == int(option("socket-timeout") or 0)


def test_post_buffering_stays_off() -> None:
    assert option("post-buffering") is None


def test_die_on_term_stays_off() -> None:
    assert option("die-on-term") is None


def test_recycling_always_has_its_delta() -> None:
    assert int(option("max-requests-delta") or 0) > 0
    assert int(option("max-worker-lifetime-delta") or 0) > 0


def test_uwsgi_takes_as_many_headers_as_nginx_lets_through() -> None:
    head = (highest("STACK_BUFFER_SIZE") - 2048) * 2 // 5
    assert int(option("max-vars") or 0) >= head // 4


def test_uwsgi_waits_for_nginx_no_longer_than_nginx_for_it() -> None:
    assert int(option("socket-timeout") or 0) <= int(TOGGLES["STACK_HARAKIRI"].default) + 5
