"""`make base-image` makes what Debian's packages can make, and names what is missing for it."""

import os
from pathlib import Path

import pytest

from stack.base_image import make_base_image, mmdebstrap_command, suite_of
from stack.errors import StackError


def programs(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).write_text("#!/bin/sh\nexit 3\n", encoding="ascii")
        (folder / name).chmod(0o755)


def test_the_suite_is_the_one_that_the_image_is_named_for() -> None:
    assert suite_of("debian:trixie-slim") == "trixie"
    assert suite_of("debian:forky") == "forky"
    assert mmdebstrap_command("forky")[-2:] == ["forky", "-"]


@pytest.mark.parametrize(
    "image",
    ["ubuntu:24.04", "debian", "debian:13.1", "debian@sha256:0123", "registry/debian:trixie"],
)
def test_any_other_image_cannot_be_made(image: str) -> None:
    with pytest.raises(StackError, match="cannot be made from Debian's packages"):
        make_base_image({"BASE_IMAGE": image})


def test_a_missing_program_is_named_with_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StackError, match="docker is not installed"):
        make_base_image({})
    programs(tmp_path, "docker")
    with pytest.raises(StackError, match="apt-get install mmdebstrap debian-archive-keyring"):
        make_base_image({})


def test_without_root_and_sudo_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs(tmp_path, "docker", "mmdebstrap")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(StackError, match="needs root: run it as root, or install sudo"):
        make_base_image({})


def test_a_failure_of_mmdebstrap_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs(tmp_path, "docker", "mmdebstrap")
    (tmp_path / "mmdebstrap").write_text("#!/bin/sh\necho E: no space >&2; exit 25\n")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(StackError, match="mmdebstrap failed with exit code 25: E: no space"):
        make_base_image({})
