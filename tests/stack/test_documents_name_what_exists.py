"""Each `make` target, command of Flask and setting that a document names exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from stack.checkout import CHECKOUT
from toggles import TOGGLES

OTHERS = {"project", "run", "results", ".venv"}
DOCUMENTS = sorted(
    file
    for file in (*CHECKOUT.glob("*.md"), *CHECKOUT.glob("*/*.md"), *CHECKOUT.glob("app/*/*.md"))
    if file.relative_to(CHECKOUT).parts[0] not in OTHERS
)


def code(text: str) -> str:
    """Return the code blocks and spans of a document, one a line."""
    blocks = re.findall(r"^```[^\n]*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    rest = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    return "\n".join((*blocks, *re.findall(r"`([^`\n]+)`", rest)))


def made(text: str) -> set[str]:
    """Return the targets of the `make` commands in *text*: words that begin with a small letter."""
    unquoted = re.sub(r"'[^']*'", "", text)
    # A colon: a message of the command, such as `make up: port 8080 is taken`.
    commands = re.findall(r"(?:^|&& )make((?: +[\w.=/,:-]+)+)", unquoted, re.MULTILINE)
    words = {word for command in commands for word in re.sub(r":(\s.*)?$", "", command).split()}
    return {word for word in words if re.fullmatch(r"[a-z][a-z-]*", word)}


def targets() -> set[str]:
    makefiles = (CHECKOUT / "Makefile", *CHECKOUT.glob("*/*.mk"))
    every = "\n".join(file.read_text(encoding="utf-8") for file in makefiles)
    return set(re.findall(r"^([a-z-]+):(?!=)", every, re.MULTILINE))


@pytest.mark.parametrize("file", DOCUMENTS, ids=lambda f: str(f.relative_to(CHECKOUT)))
def test_a_document_names_targets_and_settings_that_exist(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert made(code(text)) <= targets()
    named = set(re.findall(r"\bSTACK_[A-Z][A-Z_]*[A-Z]\b(?!_?[*…])", text))
    known = set(TOGGLES) | _read_elsewhere()
    assert named <= known


@pytest.mark.parametrize("file", DOCUMENTS, ids=lambda f: str(f.relative_to(CHECKOUT)))
def test_a_document_names_commands_of_flask_that_exist(file: Path) -> None:
    text = code(file.read_text(encoding="utf-8"))
    for group, command in re.findall(
        r"flask (?:--app app\.wsgi )?(user|posts) ([a-z][a-z-]*)", text
    ):
        source = {"user": "app/security/cli.py", "posts": "app/posts/__init__.py"}[group]
        function = command.replace("-", "_")
        found = rf'command\("{command}"\)|command\(\)\n(?:@.*\n)*def {function}\('
        assert re.search(found, (CHECKOUT / source).read_text(encoding="utf-8")), command


def test_a_target_that_does_not_exist_is_found() -> None:
    block = "```sh\ngit pull && make deploy NGINX=later\n```\n"
    example = f"{block}or `make nothing`, or `make up: port 1 is taken`."
    assert made(code(example)) == {"deploy", "nothing", "up"}


def _read_elsewhere() -> set[str]:
    """Settings that programs read and that are not in the table."""
    kinds = ("*/*.yml", "*.yml", "*/*.mk", "*/*.py", "*/*/*.py")
    files = [
        file
        for kind in kinds
        for file in CHECKOUT.glob(kind)
        if file.relative_to(CHECKOUT).parts[0] not in OTHERS and "tests" not in file.parts
    ]
    every = "\n".join(file.read_text(encoding="utf-8") for file in files)
    return set(re.findall(r"\bSTACK_[A-Z_]+\b", every))
