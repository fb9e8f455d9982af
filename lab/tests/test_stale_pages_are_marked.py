"""A published page whose run is older than nginx/, uwsgi/, app/ or redis/ is marked as stale.

Once it is marked, later commits change nothing, so this fails at most once after a final run.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from lab.plan.sources import in_repository
from lab.report import stale

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "lab" / "README.md"
RESULTS = ROOT / "lab" / "results"


def test_every_page_is_listed_and_a_stale_one_as_stale() -> None:
    listed = stale.listed(README.read_text(encoding="utf-8"))
    pages = {file.stem: file.read_text(encoding="utf-8") for file in RESULTS.glob("*.md")}
    assert listed.keys() == pages.keys()
    assert set(listed.values()) <= {stale.CURRENT, stale.STALE, stale.UNTRUSTWORTHY}
    if not in_repository(ROOT):
        return  # the list of a copy is that of the repository that it was made from
    wrong = [
        name
        for name, page in pages.items()
        if listed[name] == stale.CURRENT and stale.state(page, ROOT) == stale.STALE
    ]
    assert not wrong, "python3 -m lab pages marks them"


def head(repository: Path) -> str:
    command = ["git", "-C", str(repository), "rev-parse", "--short=12", "HEAD"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_a_page_is_stale_when_a_room_changed(repository: Path) -> None:
    page = f"| commit of the checkout | {head(repository)} |"
    assert stale.state(page, repository) == stale.CURRENT
    (repository / "app" / "tests" / "test_x.py").write_text("2\n")
    (repository / "app" / "README.md").write_text("2\n")
    assert stale.state(page, repository) == stale.CURRENT
    (repository / "app" / "x.py").write_text("2\n")
    assert stale.state(page, repository) == stale.STALE
    assert stale.state("| commit of the checkout | 0123456789ab |", repository) == stale.STALE
    assert stale.state("no commit", repository) == stale.STALE
    assert stale.state("❌ **UNTRUSTWORTHY: do not use**", repository) == stale.UNTRUSTWORTHY
    assert stale.commit_of("| commit of the checkout | 0123456-dirty |") is None


def test_a_figure_in_a_comment_makes_no_page_stale(repository: Path) -> None:
    settings = repository / "uwsgi" / "uwsgi.ini"
    settings.parent.mkdir(exist_ok=True)
    settings.write_text("; takes 2 MB\nprocesses = 2\n")
    for command in (["add", "."], ["commit", "-qm", "settings"]):
        identity = ("-c", "user.name=a", "-c", "user.email=a@example.org")
        subprocess.run(["git", "-C", str(repository), *identity, *command], check=True)
    page = f"| commit of the checkout | {head(repository)} |"
    settings.write_text("; takes 3 MB\nprocesses = 2\n")
    assert stale.state(page, repository) == stale.CURRENT
    settings.write_text("; takes 3 MB\nprocesses = 3\n")
    assert stale.state(page, repository) == stale.STALE


def test_the_list_is_written_between_its_marks(repository: Path, tmp_path: Path) -> None:
    results = tmp_path / "results"
    results.mkdir()
    (results / "one.md").write_text(f"| commit of the checkout | {head(repository)} |\n")
    (results / "two.md").write_text("nothing\n")
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n\n{stale.BEGIN}\nold\n{stale.END}\n\nafter\n")
    stale.write(readme, results, repository)
    text = readme.read_text()
    assert stale.listed(text) == {"one": "current", "two": "stale"}
    assert text.startswith("before\n\n")
    assert text.endswith("\n\nafter\n")
    assert "old" not in text
