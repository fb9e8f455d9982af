"""``git bisect run`` with the lab finds the commit that made a request slower.

The costs are invented; git, the lab's command line, its verdicts and exit codes are real.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
# µs per request, by commit. The fourth is 6 % slower, the sixth a little faster than that.
COSTS = (900, 905, 898, 954, 955, 940, 952, 954)


@pytest.mark.long
def test_it_finds_the_commit(tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    repository.mkdir()

    def git(*words: str) -> str:
        who = ("-c", "user.name=x", "-c", "user.email=x@example.org")
        command = ["git", "-C", str(repository), *who, *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()

    git("init", "-q")
    commits = []
    for number, cost in enumerate(COSTS):
        (repository / "cost").write_text(f"{cost}\n")
        (repository / "number").write_text(f"{number}\n")
        git("add", "-A")
        git("commit", "-qm", f"costs {cost}")
        commits.append(git("rev-parse", "HEAD"))
    lab = (
        f"{sys.executable} -m lab.tests.invented_testbed {repository} --results={tmp_path}/results"
    )
    step = f'b=$(git rev-parse HEAD) && cd {CHECKOUT} && {lab} compare --a={commits[0]} --b="$b"'
    git("bisect", "start", commits[-1], commits[0])
    said = git("bisect", "run", "sh", "-c", step)
    assert f"{commits[3]} is the first bad commit" in said
    assert "is slower" in said
    assert "is not slower" in said
