"""`make pins` for a new dependency changes only its lines, whatever else the index has by now."""

import base64
import hashlib
import os
import re
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from stack import jobs, venv
from stack.checkout import CHECKOUT
from stack.jobs import pin_changes, with_old_hashes

OLD = (
    "flask==3.1.3 \\\n    --hash=sha256:aa\n"
    "redis==8.1.0 ; sys_platform == 'linux' \\\n    --hash=sha256:bb\n"
)


def test_a_known_version_keeps_its_hashes_and_a_new_one_gets_its_own() -> None:
    fresh = (
        "attrs==26.1.0 \\\n    --hash=sha256:cc\n"
        "flask==3.1.3 \\\n    --hash=sha256:11 \\\n    --hash=sha256:aa\n"
        "redis==8.2.0 ; sys_platform == 'linux' \\\n    --hash=sha256:dd\n"
    )
    assert with_old_hashes(fresh, OLD) == (
        "attrs==26.1.0 \\\n    --hash=sha256:cc\n"
        "flask==3.1.3 \\\n    --hash=sha256:aa\n"
        "redis==8.2.0 ; sys_platform == 'linux' \\\n    --hash=sha256:dd\n"
    )


def test_the_changes_are_listed() -> None:
    fresh = "attrs==26.1.0 \\\n    --hash=sha256:cc\nflask==3.1.4 \\\n    --hash=sha256:11\n"
    assert pin_changes(OLD, OLD) == []
    assert pin_changes(OLD, fresh) == [
        ("attrs", "-", "26.1.0"),
        ("flask", "3.1.3", "3.1.4"),
        ("redis", "8.1.0", "-"),
    ]


@pytest.mark.parametrize("file", sorted(CHECKOUT.glob("requirements/*.txt")), ids=lambda f: f.name)
def test_unchanged_versions_leave_the_file_as_it_is(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert with_old_hashes(text.replace("sha256:", "sha256:0"), text) == text


# ── The whole command, by uv, with a folder of wheels as its index ───────────────────────────────

PROJECT = """
[project]
name = "shop"
version = "1"
requires-python = ">=3.11"

[dependency-groups]
app = ["till~=1.0"]
"""


def wheel(folder: Path, name: str, version: str, *needs: str) -> str:
    """Write a wheel without a module; return its hash."""
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    files = {
        f"{info}/METADATA": metadata + "".join(f"Requires-Dist: {need}\n" for need in needs),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = ""
    for path, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=")
        record += f"{path},sha256={digest.decode()},{len(text)}\n"
    file = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(file, "w") as archive:
        for path, text in (files | {f"{info}/RECORD": f"{record}{info}/RECORD,,\n"}).items():
            archive.writestr(path, text)
    return hashlib.sha256(file.read_bytes()).hexdigest()


@pytest.mark.uv
def test_upgrade_takes_the_newest_allowed_and_says_what_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    index, checkout = tmp_path / "index", tmp_path / "shop"
    index.mkdir()
    checkout.mkdir()
    (checkout / "pyproject.toml").write_text(PROJECT)
    monkeypatch.setenv("PATH", f"{sys.prefix}/bin{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(jobs, "CHECKOUT", checkout)
    monkeypatch.setattr(jobs, "every_pin_file", lambda: venv.every_pin_file(checkout))
    for name, value in {
        "UV_FIND_LINKS": index, "UV_NO_INDEX": "1", "UV_OFFLINE": "1", "UV_NO_CACHE": "1"
    }.items():  # fmt: skip
        monkeypatch.setenv(name, str(value))

    def pinned() -> dict[str, str]:
        text = (checkout / "requirements/app.txt").read_text()
        return dict(re.findall(r"^(\S+) \\\n    --hash=sha256:(\w+)$", text, re.MULTILINE))

    old = {"till==1.0": wheel(index, "till", "1.0", "coins"), "coins==2.0": ""}
    old["coins==2.0"] = wheel(index, "coins", "2.0")
    assert jobs.pins({}) == 0
    assert pinned() == old
    new = wheel(index, "till", "1.1", "coins", "notes")
    wheel(index, "till", "2.0")  # pyproject.toml does not allow it
    notes = wheel(index, "notes", "0.1")
    capsys.readouterr()
    assert jobs.pins({}) == 0
    assert pinned() == old and "before" not in capsys.readouterr().out
    assert jobs.pins({"UPGRADE": "1"}) == 0
    assert pinned() == {"till==1.1": new, "notes==0.1": notes, "coins==2.0": old["coins==2.0"]}
    said = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert said == [
        ["requirements/app.txt"],
        ["package", "before", "now"],
        ["notes", "-", "0.1"],
        ["till", "1.0", "1.1"],
    ]


def test_uv_is_installed_into_the_venv_where_the_machine_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clone on a machine that has Python only: `make pins` needs no other preparation."""
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    monkeypatch.setattr(jobs, "CHECKOUT", tmp_path)
    monkeypatch.setattr(jobs, "every_pin_file", lambda: venv.every_pin_file(tmp_path))
    monkeypatch.setenv("PATH", "/nowhere")

    def ensure(self: venv.VirtualEnvironment, files: Sequence[Path]) -> None:
        assert "uv==" in "".join((CHECKOUT / file).read_text() for file in files)
        self.bin.mkdir(parents=True)
        (self.bin / "uv").write_text("#!/bin/sh\necho till==1.0\n")
        (self.bin / "uv").chmod(0o755)

    monkeypatch.setattr(venv.VirtualEnvironment, "ensure", ensure)
    assert jobs.pins({}) == 0
    assert (tmp_path / "requirements/app.txt").read_text() == "till==1.0\n"
