"""Published pages are small and complete, and do not name places on the machine."""

import re

import pytest

from lab.report import markdown
from lab.tests import invented_runs as runs


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    folder, target = tmp_path_factory.mktemp("run"), tmp_path_factory.mktemp("docs")
    runs.write_run(folder)
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
    for file in target.iterdir():
        content = file.read_text(encoding="utf-8")
        assert "jdoe" not in content, file.name
        assert "/home" not in content, file.name


def test_paths_of_requests_stay():
    text = "GET /workload/protected from /home/me/x/uwsgi.ini, http://127.0.0.1/var/x and /tmp/a/b"
    assert markdown.without_paths(text) == (
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
