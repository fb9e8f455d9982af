"""Make the base image from Debian's packages, where no image registry can be reached.

What comes out is what ``debian:<suite>-slim`` is: Debian's minimal set of packages without manuals
and translations, under the very name that the Dockerfiles ask for.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from stack.errors import StackError

DEFAULT = "debian:trixie-slim"

_LEFT_OUT = ("/usr/share/doc/*", "/usr/share/info/*", "/usr/share/locale/*", "/usr/share/man/*")
# Licences have to travel with the binaries.
_KEPT = "/usr/share/doc/*/copyright"
# The maker's own name server and host name; the engine gives every container its own.
_FORGET = 'rm "$1/etc/hostname" "$1/etc/resolv.conf"'


def make_base_image(environ: Mapping[str, str] = os.environ) -> str:
    """Build and import BASE_IMAGE; returns its name. Needs root or sudo, and mmdebstrap."""
    image = environ.get("BASE_IMAGE") or DEFAULT
    command = mmdebstrap_command(suite_of(image))
    for program, remedy in (
        ("docker", "install Docker Engine"),
        ("mmdebstrap", "apt-get install mmdebstrap debian-archive-keyring"),
    ):
        if shutil.which(program) is None:
            raise StackError(f"{program} is not installed", remedy)
    if os.geteuid() != 0:
        if shutil.which("sudo") is None:
            raise StackError("making a base image needs root", "run it as root, or install sudo")
        command = ["sudo", "--preserve-env=SOURCE_DATE_EPOCH", *command]

    print(f"base-image: making {image} from Debian's packages (about half a minute)", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        tarball = Path(scratch) / "base.tar"
        with tarball.open("wb") as output:
            _run(command, "mmdebstrap", stdout=output)
        _run(
            ["docker", "import", "--change", 'CMD ["bash"]', str(tarball), image],
            "docker import",
            stdout=subprocess.DEVNULL,
        )
    print(f"base-image: {image} is there", flush=True)
    return image


def suite_of(image: str) -> str:
    """``debian:trixie-slim`` → ``trixie``. Raises StackError for what Debian alone cannot make."""
    match = re.fullmatch(r"debian:([a-z]+?)(-slim)?", image)
    if match is None:
        raise StackError(
            f"BASE_IMAGE={image!r} cannot be made from Debian's packages",
            f"unset it for {DEFAULT}, or name a suite, such as debian:forky-slim",
        )
    return match[1]


def mmdebstrap_command(suite: str) -> list[str]:
    """The command that writes the root file system of *suite*, as a tar archive, to its output."""
    return [
        "mmdebstrap",
        "--quiet",
        "--variant=minbase",
        "--include=ca-certificates",
        *(f"--dpkgopt=path-exclude={pattern}" for pattern in _LEFT_OUT),
        f"--dpkgopt=path-include={_KEPT}",
        f"--customize-hook={_FORGET}",
        suite,
        "-",
    ]


def _run(command: list[str], name: str, stdout: object) -> None:
    # With the files' times pinned, the same packages give the same layer, and images that were
    # built on it stay cached.
    environ = {**os.environ, "SOURCE_DATE_EPOCH": "0"}
    finished = subprocess.run(
        command,
        stdout=stdout,  # type: ignore[call-overload]
        stderr=subprocess.PIPE,
        text=True,
        env=environ,
        check=False,
    )
    if finished.returncode != 0:
        lines = finished.stderr.strip().splitlines()
        raise StackError(
            f"{name} failed with exit code {finished.returncode}",
            lines[-1] if lines else "it gave no reason",
            log="\n".join(lines[-20:]),
        )
