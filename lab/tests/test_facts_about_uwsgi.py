"""Each probe observes the behaviour of the pinned uWSGI."""

import os
import tempfile
from pathlib import Path
from typing import get_args

import pytest

from lab.measure import facts
from lab.measure.facts import Fact, FactError
from lab.plan.experiment import FactName

# Whether each claim is true of the pinned uWSGI (2.0.31), and words of its evidence. Both
# outcomes occur, so a probe that observes nothing fails.
KNOWN = {
    "sigterm-reloads": (True, "brutally killing workers"),
    "die-on-term-stops": (True, "exit code 0"),
    "die-on-term-finishes-requests": (False, "got no answer"),
    "graceful-hook-finishes-requests": (True, "got 200; exit code 0"),
    "threads-need-enable-threads": (False, "counted to"),
    "harakiri-kills": (True, "HARAKIRI ON WORKER 1"),
    "harakiri-kills-with-threads": (False, "got 200 after"),
    "chain-reload-needs-lazy-apps": (True, "served the old code, with it the new code"),
    "strict-refuses-unknown-options": (True, "unknown config directive: py-callos-afterfork"),
    "need-app-refuses-a-broken-app": (True, "with it uWSGI ends with exit code 22"),
    "vacuum-deletes-sockets": (True, "stays without vacuum and is gone with it"),
}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Fact | FactError]:
    return facts.gather(list(facts.PROBES), tmp_path_factory.mktemp("facts") / "facts.json", print)


def test_every_probe_is_known() -> None:
    assert KNOWN.keys() == facts.PROBES.keys() == set(get_args(FactName))


@pytest.mark.parametrize("name", KNOWN)
def test_a_probe_has_the_known_outcome(found: dict[str, Fact | FactError], name: str) -> None:
    fact = found[name]
    assert isinstance(fact, Fact), fact
    holds, words = KNOWN[name]
    assert fact.holds is holds, fact.observed
    assert words in fact.observed
    assert fact.says == facts.PROBES[name].says


def test_nothing_is_left_behind(found: dict[str, Fact | FactError]) -> None:
    assert list(Path(tempfile.gettempdir()).glob("uwsgi-fact-*")) == []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            assert b"uwsgi-fact-" not in entry.read_bytes()
        except OSError:
            continue  # it has ended


def test_a_server_that_does_not_start_is_an_error_with_its_log() -> None:
    with pytest.raises(FactError) as error, facts.running({"wsgi-file": "/nowhere/app.py",
                                                           "need-app": "true"}):  # fmt: skip
        pytest.fail("it started")
    assert "uWSGI ended with exit code" in str(error.value)
    assert "/nowhere/app.py" in str(error.value)


def test_a_probe_ignores_the_environments_uwsgi_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "UWSGI_NEED_APP", "true")
    with facts.running(app=facts.BROKEN_APP) as server:
        assert server.get().status == 500


def test_a_claim_with_two_outcomes_is_no_fact(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([(True, "it did"), (False, "it did not")])
    probes = {"coin": facts.Probe("the coin falls on its head", lambda: next(answers))}
    monkeypatch.setattr(facts, "PROBES", probes)
    result = facts.probe("coin")
    assert isinstance(result, FactError)
    assert "had different outcomes" in str(result)
    assert "it did not" in str(result)


def test_facts_are_kept_in_a_file_and_not_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def sees() -> tuple[bool, str]:
        seen.append("try")
        return True, "“it did”"

    def fails() -> tuple[bool, str]:
        seen.append("try")
        raise FactError("uWSGI ended")

    probes = {"good": facts.Probe("it does", sees), "bad": facts.Probe("it fails", fails)}
    monkeypatch.setattr(facts, "PROBES", probes)
    file = tmp_path / "facts.json"
    first = facts.gather(["good", "bad"], file, print)
    assert first["good"] == Fact("good", "it does", "“it did” (2 of 2 tries)", True)
    assert isinstance(first["bad"], FactError)
    seen.clear()
    assert facts.gather(["good"], file, print)["good"] == first["good"]
    assert seen == []
    facts.gather(["bad", "good"], file, print)
    assert seen, "a failed probe is tried again"
