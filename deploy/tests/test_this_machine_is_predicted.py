"""`make plan CHECK=1` loads a stack of its own, and says whether its prediction came true.

The times are shortened: whether they agree is a question for a quiet machine.
"""

import json

import pytest

from deploy.plan import check, command


def test_it_predicts_measures_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("LIGHT_SECONDS", "HALF_SECONDS", "FULL_SECONDS"):
        monkeypatch.setattr(check, name, 2.0)
    code = command.plan({"CHECK": "1", "JSON": "1"})
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [row["name"] for row in found["rows"]] == ["saturation", "p50", "p99"]
    assert all(row["predicted"] > 0 and row["measured"] > 0 for row in found["rows"])
    assert found["agree"] == all(row["agrees"] for row in found["rows"])
    assert code == (0 if found["agree"] else 1)
    assert set(found["cpu_us"]) == {"nginx", "app", "redis", "generator"}
    assert found["cpu_us"]["app"] > found["cpu_us"]["redis"] > 0
