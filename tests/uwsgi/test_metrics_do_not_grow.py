"""The number of series does not depend on how often workers and generations were replaced."""

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from stack.checkout import CHECKOUT
from tests.servers.uwsgi import Uwsgi, serving


@pytest.fixture
def exporter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """uwsgi/exporter.py beside a master that a test makes up."""
    run = tmp_path / "1"
    run.mkdir()
    (tmp_path / "status.json").write_text('{"failure": ""}')
    monkeypatch.setenv("APP_RUN", str(run))
    monkeypatch.setenv("APP_SOCKET_INODE", "0")
    monkeypatch.setitem(sys.modules, "uwsgi", SimpleNamespace(opt={"processes": b"4"}))
    spec = importlib.util.spec_from_file_location("exporter", CHECKOUT / "uwsgi" / "exporter.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "_process", lambda pid: (1.0, 1, 1, 1, 1))
    return module


def series(exporter: ModuleType, monkeypatch: pytest.MonkeyPatch, respawns: int, swap: int) -> set:
    """The series after so many *respawns* of each worker, in generation *swap*."""
    run = exporter.RUN.with_name(str(swap))
    (run.with_name("next")).symlink_to(run.name)
    (run.with_name("next")).replace(run.with_name("current"))
    monkeypatch.setattr(exporter, "RUN", run)
    workers = [
        {
            "id": number,
            "pid": 100_000 + respawns * 10 + number,
            "requests": respawns,
            "exceptions": 0,
            "harakiri_count": respawns,
            "respawn_count": respawns,
            "accepting": 1,
            "cores": [{"in_request": respawns % 2}],
        }
        for number in range(1, 5)
    ]
    document = {"listen_queue": 0, "workers": workers}
    monkeypatch.setattr(exporter, "statistics", lambda run: document)
    return {
        (sample.name, *sample.labels.items())
        for metric in exporter.Workers().collect()
        for sample in metric.samples
    }


def test_a_thousand_respawns_and_a_hundred_swaps_add_no_series(
    exporter: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = series(exporter, monkeypatch, 1, 1)
    assert len(first) > 40
    for step in range(1000):
        assert series(exporter, monkeypatch, step, step // 10 + 1) == first


def test_a_failed_reload_shows_until_one_succeeds(tmp_path: Path) -> None:
    with serving(tmp_path, STACK_PROCESSES="1") as server:
        failed = failed_reload(server)
        app = tmp_path / "small.py"
        good = app.read_text()
        assert failed() == 0
        app.write_text("raise RuntimeError('on purpose')")
        assert server.reload().returncode != 0
        assert failed() == 1
        app.write_text(good)
        assert server.reload().returncode == 0
        assert failed() == 0


def failed_reload(server: Uwsgi) -> Callable[[], float]:
    return lambda: server.metric("uwsgi_reload_failed")
