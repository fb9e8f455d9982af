"""The manifests of Kubernetes, rendered by kubectl with secrets for tests."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import kubernetes_validate
import yaml

from stack.checkout import CHECKOUT

Manifest = dict[str, Any]
FOLDER = CHECKOUT / "deploy" / "kubernetes"
OVERLAYS = ("one-node", "production")
SECRET = "0123456789abcdef0123456789abcdef"


def validate(manifests: list[Manifest], version: str) -> None:
    """Raises kubernetes_validate.ValidationError if that version does not accept one of them."""
    for manifest in manifests:
        kubernetes_validate.validate(manifest, version, strict=True)


def render(
    overlay: str, scratch: Path, *components: str, settings: Mapping[str, str] | None = None
) -> list[Manifest]:
    """Return what `kubectl apply -k` would send for *overlay* with *components* and *settings*.

    *scratch* is a directory without a folder `kubernetes`.
    """
    folder = scratch / "kubernetes"
    shutil.copytree(FOLDER, folder, ignore=shutil.ignore_patterns("secrets"))
    secrets = folder / "overlays" / overlay / "secrets"
    secrets.mkdir()
    with (secrets.parent / "kustomization.yaml").open("a", encoding="utf-8") as file:
        file.write(f"\ncomponents: {[f'../../components/{name}' for name in components]}\n")
    file_of_settings = secrets.parent / "settings.env"
    text = file_of_settings.read_text(encoding="utf-8")
    for name, value in (settings or {}).items():
        text, count = re.subn(rf"^{name}=.*$", f"{name}={value}", text, flags=re.MULTILINE)
        assert count == 1, name
    file_of_settings.write_text(text, encoding="utf-8")
    for name in ("secret_key", "redis_password"):
        (secrets / name).write_text(SECRET, encoding="utf-8")
    beside = Path(sys.executable).with_name("kubectl")
    program = str(beside) if beside.exists() else "kubectl"
    answer = subprocess.run(
        [program, "kustomize", str(secrets.parent)], capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stderr
    assert answer.stderr == ""
    return list(yaml.safe_load_all(answer.stdout))


def one(manifests: list[Manifest], kind: str, name: str) -> Manifest:
    """Return the manifest of *kind* whose name is *name*, or begins with it before a hash."""
    found = [
        manifest
        for manifest in manifests
        if manifest["kind"] == kind
        and (manifest["metadata"]["name"] == name or _generated(manifest) == name)
    ]
    assert len(found) == 1, f"{kind} {name}: {len(found)}"
    return found[0]


def _generated(manifest: Manifest) -> str:
    generated = manifest["kind"] in {"ConfigMap", "Secret"}
    return str(manifest["metadata"]["name"]).rpartition("-")[0] if generated else ""


def templates(manifests: list[Manifest]) -> dict[str, Manifest]:
    """Return the template of the pods of each workload, by its name."""
    return {
        manifest["metadata"]["name"]: manifest["spec"]["template"]
        for manifest in manifests
        if "template" in manifest.get("spec", {})
    }
