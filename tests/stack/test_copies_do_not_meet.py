"""Two copies on ports of their own share no process, no data and no secret."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from stack.errors import StackError
from stack.local.runtime import LocalRuntime
from tests.stack.checkouts import TINY_APP, answers, get, own_name


@pytest.fixture
def pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[LocalRuntime]]:
    (tmp_path / "tiny.py").write_text(TINY_APP)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    environ = {"STACK_PORT": "0", "STACK_APP": "tiny:app", "STACK_PROCESSES": "1"}
    copies = [LocalRuntime({**environ, "STACK_NAME": own_name()}) for _ in range(2)]
    try:
        for copy in copies:
            copy.up()
        yield copies
    finally:
        for copy in copies:
            copy.down()


def test_nothing_is_shared_and_one_goes_alone(pair: list[LocalRuntime]) -> None:
    one, two = pair
    assert one.address() != two.address()
    assert {s.id for s in one.status()}.isdisjoint(s.id for s in two.status())
    assert {s.address for s in one.status()}.isdisjoint(s.address for s in two.status())
    passwords = [(c.run_dir / "secrets" / "redis-password").read_text() for c in pair]
    assert passwords[0] != passwords[1]

    before = [status.id for status in two.status()]
    address = one.address()
    one.down()
    assert not answers(address)
    assert [status.id for status in two.status()] == before
    assert all(status.healthy for status in two.status())
    assert get(two.address())[0] == 200


def test_the_throwaway_directory_goes_with_the_copy(pair: list[LocalRuntime]) -> None:
    directory = pair[0].run_dir
    assert directory.stat().st_mode & 0o077 == 0
    pair[0].down()
    assert not directory.exists()


def test_the_throwaway_directory_goes_with_a_failed_start() -> None:
    stack = LocalRuntime({"STACK_PORT": "0", "STACK_APP": "nosuch:app", "STACK_NAME": own_name()})
    with pytest.raises(StackError, match="app does not start") as caught, stack:
        pass
    assert "No module named 'nosuch'" in caught.value.log
    assert not stack.run_dir.exists()


def test_a_copy_does_not_hear_of_settings_meant_for_others(
    pair: list[LocalRuntime], monkeypatch: pytest.MonkeyPatch
) -> None:
    # uWSGI would take either for an option of its own and, strict, refuse to start.
    monkeypatch.setenv("UWSGI_NO_SUCH_OPTION", "1")
    monkeypatch.setenv("STACK_NO_SUCH_TOGGLE", "1")
    environ = {"STACK_PORT": "0", "STACK_APP": "tiny:app", "STACK_NAME": own_name()}
    with LocalRuntime(environ) as third:
        assert get(third.address())[0] == 200
        environment = Path(f"/proc/{third.status()[1].id}/environ").read_bytes()
    assert b"NO_SUCH" not in environment
    assert os.environ["STACK_NO_SUCH_TOGGLE"] == "1"
