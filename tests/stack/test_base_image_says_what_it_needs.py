"""`.ci/base-image` builds what Debian's packages can build, and names what it lacks."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / ".ci" / "base-image"


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A folder that is the whole PATH of the script; each program in it prints its arguments."""
    for name in ("bash", "mktemp", "rm"):
        (tmp_path / name).symlink_to(shutil.which(name))
    write(tmp_path / "id", "echo 0")
    return tmp_path


def write(program: Path, script: str) -> None:
    program.write_text(f"#!/bin/bash\n{script}\n", encoding="ascii")
    program.chmod(0o755)


def run(programs: Path, image: str | None = None) -> subprocess.CompletedProcess[str]:
    environ = {"PATH": os.fspath(programs), **({"BASE_IMAGE": image} if image else {})}
    return subprocess.run([SCRIPT], env=environ, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("image", [None, "debian:trixie-slim", "debian:forky"])
def test_the_name_of_the_image_is_the_suite(programs: Path, image: str | None) -> None:
    write(programs / "mmdebstrap", 'echo "${@: -2}" epoch $SOURCE_DATE_EPOCH')
    write(programs / "docker", 'read -r archive <"${@: -2:1}"; echo "$archive, ${@: -1}" >&2')
    done = run(programs, image)
    assert done.returncode == 0, done.stderr
    suite = "forky" if image == "debian:forky" else "trixie"
    assert done.stderr == f"{suite} - epoch 0, {image or 'debian:trixie-slim'}\n"


@pytest.mark.parametrize(
    "image",
    ["ubuntu:24.04", "debian", "debian:13.1", "debian@sha256:0123", "registry/debian:trixie"],
)
def test_any_other_image_is_refused(programs: Path, image: str) -> None:
    done = run(programs, image)
    assert done.returncode == 1
    assert f"'{image}' cannot be built from Debian's packages: unset it" in done.stderr


def test_a_missing_program_is_named_with_its_package(programs: Path) -> None:
    assert "docker is not installed: install Docker Engine" in run(programs).stderr
    write(programs / "docker", "true")
    assert "apt-get install mmdebstrap debian-archive-keyring" in run(programs).stderr


def test_without_root_and_sudo_it_stops(programs: Path) -> None:
    for name in ("docker", "mmdebstrap"):
        write(programs / name, "exit 3")
    write(programs / "id", "echo 1000")
    done = run(programs)
    assert "needs root: run it as root, or install sudo" in done.stderr
    write(programs / "sudo", 'echo "sudo ${@:2:1}" >&2; exit 3')
    assert "sudo mmdebstrap" in run(programs).stderr


def test_a_failure_of_mmdebstrap_is_a_failure(programs: Path) -> None:
    write(programs / "docker", "echo imported")
    write(programs / "mmdebstrap", "echo E: no space >&2; exit 25")
    done = run(programs)
    assert done.returncode == 1
    assert "E: no space\nbase-image: mmdebstrap failed" in done.stderr
    assert "imported" not in done.stdout
