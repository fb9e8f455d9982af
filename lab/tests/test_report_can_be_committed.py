"""Published pages are small and complete, and do not name places on the machine."""

import json
import lzma
import re
import shutil

import pytest

from lab.judge import verdict
from lab.plan.experiment_file import parse
from lab.report import audit, markdown
from lab.report.redact import without_paths
from lab.runs import Run
from lab.tests import invented_runs as runs


@pytest.fixture(scope="module")
def published(lock, tmp_path_factory):
    folder, target = lock[0], tmp_path_factory.mktemp("docs")
    return folder, target, markdown.publish(folder, target)


def test_it_is_named_for_the_experiment(published):
    _, target, path = published
    assert path == target / "thunder-lock.md"
    assert (target / "thunder-lock-forest.svg").is_file()


def test_pictures_are_small_light_and_linked(published):
    _, target, path = published
    linked = set(re.findall(r"\]\(([^)]+\.svg)\)", path.read_text(encoding="utf-8")))
    assert {f"thunder-lock-{name}.svg" for name in ("forest", "cost", "wakeups")} <= linked
    assert linked == {file.name for file in target.glob("*.svg")}
    for name in linked:
        content = (target / name).read_bytes()
        assert len(content) < 60_000, name
        assert b"fill: #ffffff" in content, "readable on a dark page"


def test_nothing_names_a_directory_of_the_machine(published):
    _, target, _ = published
    for file in target.glob("*.*"):
        content = file.read_text(encoding="utf-8")
        assert "jdoe" not in content, file.name
        assert "/home" not in content, file.name


def test_the_page_can_be_computed_again_from_its_raw_data(published, tmp_path):
    folder, target, _ = published
    raw = target / "raw" / "thunder-lock.jsonl.xz"
    assert b"jdoe" not in lzma.decompress(raw.read_bytes())
    audit.unpack(raw, tmp_path)
    again = Run.open(tmp_path)
    assert len(again.trials) == len(Run.open(folder).trials)
    found = verdict.of(parse(again.plan.toml, "thunder-lock.toml"), again.trials, {})
    before = json.loads((folder / "verdict.json").read_text(encoding="utf-8"))
    assert found["comparisons"] == before["comparisons"]


def test_the_ledger_lists_every_run(tmp_path):
    """The untrustworthy run and the interrupted one, too; a run whose folder is gone stays."""
    target = tmp_path / "docs"
    for name, options in (("1", {"twin_off": 1.2}), ("2", {}), ("3", {})):
        runs.write_run(tmp_path / "e" / name, runs.SMALL, histograms=False, blocks=6, **options)
        runs.edit(
            tmp_path / "e" / name, "plan.json", {"started": f"2026-11-2{name}T08:00:00+00:00"}
        )
    (tmp_path / "e" / "3" / "verdict.json").unlink()
    markdown.publish(tmp_path / "e" / "2", target)
    rows = audit.read_ledger(target)
    assert [(row["trustworthy"], row["published"]) for row in rows] == [
        ("no", "no"), ("yes", "yes"), ("", "no"),
    ]  # fmt: skip
    assert all(len(row["trials_sha256"]) == 64 for row in rows)
    shutil.rmtree(tmp_path / "e" / "1")
    markdown.publish(tmp_path / "e" / "2", target)
    assert audit.read_ledger(target) == rows


def test_paths_of_requests_stay():
    text = "GET /workload/protected from /home/me/x/uwsgi.ini, http://127.0.0.1/var/x and /tmp/a/b"
    assert without_paths(text) == (
        "GET /workload/protected from uwsgi.ini, http://127.0.0.1/var/x and b"
    )


def test_old_pictures_are_removed_and_those_of_others_stay(tmp_path):
    folder, target = tmp_path / "run", tmp_path / "docs"
    target.mkdir()
    (target / "thunder-lock-shapes.svg").write_text("old", encoding="utf-8")
    (target / "thunder-lock.md").write_text("![](thunder-lock-shapes.svg)", encoding="utf-8")
    (target / "thunder-lock-and-more-forest.svg").write_text("another's", encoding="utf-8")
    runs.write_run(folder, runs.SMALL, histograms=False)
    markdown.publish(folder, target)
    assert not (target / "thunder-lock-shapes.svg").exists()
    assert (target / "thunder-lock-and-more-forest.svg").read_text(encoding="utf-8") == "another's"
