"""`reloads` shows what clients feel of reloads beside what they feel without, and judges it."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from lab import reloads
from lab.reloads import Half, Outcome


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reloads, "WARM_S", 0.5)
    monkeypatch.setattr(reloads, "DRAINED_S", 0.5)


def test_a_stack_is_reloaded_under_load(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    reloads.run(argparse.Namespace(case="one-thread", reloads=1, results=tmp_path))
    (case,) = json.loads((tmp_path / "reloads/latest/reloads.json").read_text())["cases"]
    assert (case["case"], case["reloads"]) == ("one-thread", 1)
    assert "generation 2 serves" in capfd.readouterr().out
    for half in ("with_reloads", "without"):
        assert case[half]["requests"] > 150
        assert case[half]["blocks_ms"] == [pytest.approx(case[half]["longest_ms"], abs=0.1)]
        assert 0 < case[half]["p999_ms"][0] <= case[half]["blocks_ms"][0] * 1.01
    assert case["reload_s"] > 1
    assert 20 < case["after_mb"] < 500


@pytest.mark.long
def test_a_changed_copy_is_deployed_under_load(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    reloads.run(argparse.Namespace(case="deploy-local", reloads=5, results=tmp_path))
    (case,) = json.loads((tmp_path / "reloads/latest/reloads.json").read_text())["cases"]
    assert (case["case"], case["reloads"]) == ("deploy-local", 1)
    assert case["with_reloads"]["requests"] > 150
    assert 20 < case["after_mb"] < 500
    assert "deploy-local" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("case", "failed", "longest_ms", "met"),
    [
        ("lazy", 0, 90, True),
        ("lazy", 0, 91, False),
        ("lazy", 1, 40, False),
        ("deploy", 0, 250, True),
        ("deploy", 0, 251, False),
        ("deploy", 1, 40, False),
    ],
)
def test_the_budget(case: str, failed: int, longest_ms: float, *, met: bool) -> None:
    seen = Half(requests=100, failed=failed, longest_ms=longest_ms)
    outcome = Outcome(case, with_reloads=seen, without=Half(100, 0, 40))
    assert outcome.met == met
