"""`.env` means the same to the local runtime as to Docker Compose."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from stack import dotenv
from stack.checkout import CHECKOUT
from stack.errors import StackError
from tests.stack.checkouts import own_name

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
    "\ufeffA=1": "1",
    "A='two\nlines'": "two\nlines",
    'A="two\nlines" # comment': "two\nlines",
    "A='# one\nB=2'": "# one\nB=2",
    r"A='it\'s'": "it's",
    r'A="\$HOST"': "$HOST",
    "A=${HOST+x}": "x",
    "A=${EMPTY:+x}": "",
    "A=${HOST:?missing}": "box",
    "A=${NONE:-${HOST}}": "box",
    "A=1\r": "1",
    "A=http://127.0.0.1:8080/?a=b": "http://127.0.0.1:8080/?a=b",
}


@pytest.mark.parametrize("line", CASES)
def test_a_line(tmp_path: Path, line: str) -> None:
    file = tmp_path / ".env"
    file.write_text(f"{line}\n\n# the end\n")
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


WRONG = ["A", "A B=2", "A='open", 'A="open', "A='x' y", "=1"]


@pytest.mark.parametrize("line", WRONG)
def test_what_cannot_be_read_names_its_line(tmp_path: Path, line: str) -> None:
    file = tmp_path / ".env"
    file.write_text(f"FINE='1\n'\n{line}\n")
    with pytest.raises(StackError, match=r"^\.env, line 3, is not NAME=value"):
        dotenv.read(file, {})


def test_a_required_reference_that_is_not_set(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("A=${NONE:?the name of the shop}\n")
    with pytest.raises(StackError, match=r"line 1: NONE is not set .the name of the shop"):
        dotenv.read(tmp_path / ".env", {})


def test_text_of_another_encoding_is_named(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes("A=caf\xe9\n".encode("latin-1"))
    with pytest.raises(StackError, match="cannot be read"):
        dotenv.read(tmp_path / ".env", {})


@pytest.mark.parametrize("line", ["A='open", "STACK_THREADS=many", "STACK_FOO=1"])
def test_down_stops_the_stack_whatever_the_file_has_become(tmp_path: Path, line: str) -> None:
    for package in ("stack", "toggles"):
        shutil.copytree(CHECKOUT / package, tmp_path / package)
    (tmp_path / ".env").write_text(f"STACK_NAME={own_name()}\n{line}\n")
    environ = {"PATH": os.environ["PATH"], "RUNTIME": "local"}
    stack = [sys.executable, "-m", "stack"]
    down = subprocess.run(
        [*stack, "down"], cwd=tmp_path, env=environ, capture_output=True, text=True, check=False
    )
    assert down.returncode == 0, down.stderr
    assert "is down" in down.stdout
    status = subprocess.run([*stack, "status"], cwd=tmp_path, env=environ, check=False)
    assert status.returncode == 1


def test_no_file_is_no_setting(tmp_path: Path) -> None:
    assert dotenv.read(tmp_path / ".env", {}) == {}
