"""`.env` means the same to the local runtime as to Docker Compose."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from stack import dotenv
from stack.errors import StackError

CASES = {
    "A=1": "1",
    "A = 1": "1",
    "export A=1": "1",
    "A=": "",
    "A='1 # not a comment'": "1 # not a comment",
    'A="two words" # comment': "two words",
    "A=two words # comment": "two words",
    "A=with#hash": "with#hash",
    "A=#no comment": "#no comment",
    "A= # no comment": "# no comment",
    r'A="line\nline"': "line\nline",
    r"A='line\nline'": r"line\nline",
    "A='$HOST'": "$HOST",
    "A=$HOST": "box",
    "A=${HOST}:1": "box:1",
    "A=${NONE:-default}": "default",
    "A=${EMPTY:-default}": "default",
    "A=${EMPTY-default}": "",
    'A="${HOST}/$$x"': "box/$x",
    "A=http://127.0.0.1:8080/?a=b": "http://127.0.0.1:8080/?a=b",
}


@pytest.mark.parametrize("line", CASES)
def test_a_line(tmp_path: Path, line: str) -> None:
    file = tmp_path / ".env"
    file.write_text(f"# heading\n\n{line}\n")
    assert dotenv.read(file, {"HOST": "box", "EMPTY": ""}) == {"A": CASES[line]}


@pytest.mark.containers
@pytest.mark.parametrize("line", CASES)
def test_compose_reads_it_so(tmp_path: Path, line: str) -> None:
    (tmp_path / ".env").write_text(f"{line}\n")
    (tmp_path / "compose.yml").write_text(
        "services: {x: {image: x, environment: {A: '${A}', Z: end}}}\n"
    )
    done = subprocess.run(
        ["docker", "compose", "config", "--format", "json"],
        cwd=tmp_path, env={"PATH": os.environ["PATH"], "HOST": "box", "EMPTY": "", "HOME": "/"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    # Compose writes a literal $ of its result as $$.
    shown = json.loads(done.stdout)["services"]["x"]["environment"]["A"].replace("$$", "$")
    assert shown == CASES[line]


def test_later_lines_see_earlier_ones_and_the_environment_wins(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("A=1\nB=${A}2\nC=${D}\nD=late\n")
    assert dotenv.read(file, {"A": "9"}) == {"A": "1", "B": "92", "C": "", "D": "late"}


@pytest.mark.parametrize("line", ["A", "1A=2", "A='open", 'A="open', "A='x' y", "=1"])
def test_what_cannot_be_read_names_its_line(tmp_path: Path, line: str) -> None:
    file = tmp_path / ".env"
    file.write_text(f"FINE=1\n{line}\n")
    with pytest.raises(StackError, match=r"^\.env, line 2, is not NAME=value"):
        dotenv.read(file, {})


def test_no_file_is_no_setting(tmp_path: Path) -> None:
    assert dotenv.read(tmp_path / ".env", {}) == {}
