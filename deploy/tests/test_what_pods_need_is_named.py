"""A machine without what the pods need is told exactly what to install, for podman 4 and 5."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

import pytest

from deploy.tests import pods

PROGRAMS = ("podman", "runc", "iptables")


class Machine:
    """A machine with *programs*, *files* and podman of *version*."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        monkeypatch.setenv("PATH", str(folder))
        monkeypatch.setattr(os, "geteuid", lambda: 0)
        # Files of the machine are looked for in the folder.
        monkeypatch.setattr(pods, "Path", lambda *parts: folder.joinpath(*map(inside, parts)))

    def has(self, *paths: str, podman: str = "") -> None:
        for path in paths:
            file = self.folder / inside(path)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
        for name in PROGRAMS if podman else PROGRAMS[1:]:
            program = self.folder / name
            program.write_text(f"#!/bin/sh\necho podman version {podman}\n", encoding="utf-8")
            program.chmod(program.stat().st_mode | stat.S_IXUSR)


def inside(path: str) -> str:
    return path.removeprefix("/")


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path, monkeypatch)


CATATONIT = "/usr/libexec/podman/catatonit"
CNI, NETAVARK = "/usr/lib/cni/bridge", "/usr/lib/podman/netavark"


@pytest.mark.parametrize(
    ("podman", "files", "kind"),
    [
        ("4.3.1", (CNI,), "cni"),
        ("4.9.3", (NETAVARK,), "netavark"),
        ("4.9.3", (CNI, NETAVARK), "netavark"),
        ("5.4.2", ("/usr/libexec/podman/netavark",), "netavark"),
        ("5.4.2", (CNI, NETAVARK), "netavark"),
    ],
)
def test_either_kind_of_network_is_enough(
    machine: Machine, podman: str, files: tuple[str, ...], kind: str
) -> None:
    machine.has(CATATONIT, *files, podman=podman)
    assert pods.missing_podman() is None
    assert pods.network() == kind
    assert f'network_backend = "{kind}"' in configuration(machine)


def configuration(machine: Machine) -> str:
    pods.Podman(machine.folder, "none")
    return (machine.folder / "containers.conf").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("podman", "files", "said"),
    [
        ("4.3.1", (), "containernetworking-plugins: not installed"),
        ("5.4.2", (), "netavark: not installed"),
        # podman 5 cannot use it.
        ("5.4.2", (CNI,), "netavark: not installed"),
    ],
)
def test_the_missing_network_is_named_for_the_version(
    machine: Machine, podman: str, files: tuple[str, ...], said: str
) -> None:
    machine.has(CATATONIT, *files, podman=podman)
    message = pods.missing_podman()
    assert message is not None and message.startswith(said)
    package = said.partition(":")[0]
    assert f"apt-get install podman catatonit runc iptables {package})" in message


def test_without_podman_everything_is_named(machine: Machine) -> None:
    machine.has()
    message = pods.missing_podman()
    assert message is not None
    assert message.startswith("podman, catatonit, netavark: not installed")


def test_a_user_without_rights_is_told_to_be_root(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.has(CATATONIT, NETAVARK, podman="5.4.2")
    assert shutil.which("podman")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert str(pods.missing_podman()).startswith("root: ")
