"""Every file that shows a toggle agrees with toggles/table.py."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from stack.checkout import CHECKOUT
from toggles import SERVICES, TOGGLES

COMPOSE = (CHECKOUT / "docker-compose.yml").read_text(encoding="utf-8")


def toggles(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "toggles", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_generated_files_are_current() -> None:
    checked = toggles(CHECKOUT, "--check")
    assert checked.returncode == 0, checked.stderr


PAGE = next(
    os.fspath(page.relative_to(CHECKOUT))
    for page in (CHECKOUT / "README.md", *CHECKOUT.glob("docs/*.md"))
    if "<!-- toggles -->" in page.read_text(encoding="utf-8")
)


@pytest.mark.parametrize("name", [PAGE, ".env.example", "nginx/toggles.sh"])
def test_a_stale_file_is_reported_and_written(tmp_path: Path, name: str) -> None:
    for part in ("toggles", "docs", "nginx"):
        shutil.copytree(CHECKOUT / part, tmp_path / part)
    for part in ("README.md", ".env.example"):
        shutil.copy(CHECKOUT / part, tmp_path)
    file = tmp_path / name
    current = file.read_text(encoding="utf-8")
    file.write_text(current.replace("32768", "4096"), encoding="utf-8")
    stale = toggles(tmp_path, "--check")
    assert stale.returncode == 1
    assert f"toggles: {name} is out of date: run `make docs`" in stale.stderr
    assert toggles(tmp_path, "--write").returncode == 0
    assert file.read_text(encoding="utf-8") == current
    assert toggles(tmp_path, "--check").returncode == 0


def test_without_arguments_the_table_is_printed() -> None:
    printed = toggles(CHECKOUT)
    assert printed.returncode == 0
    assert all(f"| `{name}` |" in printed.stdout for name in TOGGLES)


def test_an_unknown_argument() -> None:
    assert toggles(CHECKOUT, "--chekc").returncode == 2


@pytest.mark.parametrize("service", SERVICES)
def test_compose_passes_a_service_the_toggles_that_it_reads(service: str) -> None:
    """Without a value, so that an unset variable gets the table's default."""
    block = re.search(rf"^  {service}:\n((?:    .*\n|\n)+)", COMPOSE, re.M)
    assert block
    passed = re.findall(r"^      (STACK_\w+):(.*)$", block[1], re.M)
    # The one whose default is a decision of this file: it publishes the port.
    given = {"STACK_BIND": " ${STACK_BIND:-127.0.0.1}"}
    assert passed == [
        (name, given.get(name, "")) for name, toggle in TOGGLES.items() if service in toggle.readers
    ]


def test_the_values_that_compose_itself_needs_have_the_tables_defaults() -> None:
    found = {}
    for file in CHECKOUT.glob("docker-compose*.yml"):
        text = file.read_text(encoding="utf-8")
        found |= dict(re.findall(r"\$\{(STACK_\w+):-([^}]*)\}", text))
        assert len(re.findall(r"\$\{STACK_", text)) == len(re.findall(r"\$\{STACK_\w+:-", text))
    # Compose warns of "on" where YAML 1.2 has true.
    assert found.pop("STACK_ISOLATED") == "true"
    assert TOGGLES["STACK_ISOLATED"].default == "on"
    assert found == {name: TOGGLES[name].default for name in found}
    assert found.keys() == {
        "STACK_NAME", "STACK_BIND", "STACK_PORT", "STACK_TLS_PORT", "STACK_MAX_FD",
        "STACK_PREFIX",
    }  # fmt: skip


# A variable is read as $STACK_X, ${STACK_X…, $(STACK_X), $((STACK_X…, "STACK_X", if-env = STACK_X
READ = re.compile(r"""(?:\$[{(]*|["']|if-env = )(STACK_[A-Z_]+)""")


def files_of(service: str) -> list[Path]:
    folders = {"nginx": ["nginx"], "app": ["uwsgi", "app"], "redis": ["redis"]}[service]
    found = [file for folder in folders for file in (CHECKOUT / folder).rglob("*")]
    found += [CHECKOUT / "toggles" / "demo.py"] if service == "app" else []
    return [file for file in found if file.is_file() and "__pycache__" not in file.parts]


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_reads_the_toggles_that_the_table_lists_for_it(service: str) -> None:
    read: set[str] = set()
    for file in files_of(service):
        if file.name != "toggles.sh":
            read |= set(READ.findall(file.read_text(encoding="utf-8", errors="replace")))
    assert read == {name for name, toggle in TOGGLES.items() if service in toggle.readers}
