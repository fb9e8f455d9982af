"""A checkout that was made with umask 077 builds images whose user may read all files."""

import shutil
from pathlib import Path

import pytest

from stack.checkout import CHECKOUT
from stack.compose.runtime import ComposeRuntime
from tests.deploy.engine import docker
from tests.servers.containers import NAME

pytestmark = pytest.mark.containers


def private_copy(to: Path) -> None:
    rules = (CHECKOUT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    shutil.copy(CHECKOUT / ".dockerignore", to)
    for name in {rule[1:].split("/")[0] for rule in rules if rule.startswith("!")}:
        if (CHECKOUT / name).is_dir():
            shutil.copytree(CHECKOUT / name, to / name)
    for path in to.rglob("*"):
        path.chmod(path.stat().st_mode & 0o700)


@pytest.mark.parametrize(("service", "folder"), [("nginx",) * 2, ("app", "uwsgi"), ("redis",) * 2])
def test_all_files_can_be_read(
    stack: ComposeRuntime, tmp_path: Path, service: str, folder: str
) -> None:
    private_copy(tmp_path)
    image = f"{NAME}-private/{service}"
    options = ["--quiet", "--tag", image, "--file", str(tmp_path / folder / "Dockerfile")]
    if bundle := stack.environ["CA_BUNDLE"]:
        options += ["--secret", f"id=ca_bundle,src={bundle}"]
    docker("build", *options, str(tmp_path))
    try:
        find = ["--rm", "--network=none", "--entrypoint=find", image, "/srv", "!", "-readable"]
        assert docker("run", *find) == ""
    finally:
        docker("image", "rm", image)
