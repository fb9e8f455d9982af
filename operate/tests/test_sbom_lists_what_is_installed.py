"""`make sbom`: CycloneDX files that a scanner can read, and a summary of licences."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from operate import sbom
from stack.checkout import CHECKOUT
from stack.compose.runtime import ComposeRuntime
from tests.stack.checkouts import Commands, copy_checkout


def check(content: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Check what CycloneDX 1.6 asks for; return the components by purl."""
    assert (content["bomFormat"], content["specVersion"]) == ("CycloneDX", "1.6")
    assert re.fullmatch(
        r"urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", content["serialNumber"]
    )
    assert content["version"] == 1
    assert datetime.fromisoformat(content["metadata"]["timestamp"]).tzinfo is not None
    root, components = content["metadata"]["component"], content["components"]
    references = [component["bom-ref"] for component in (root, *components)]
    assert len(set(references)) == len(references)
    assert all(component["type"] and component["name"] for component in (root, *components))
    for component in components:
        # An expression stands alone, or there are names.
        licenses = component.get("licenses", [])
        assert not any("expression" in entry for entry in licenses) or len(licenses) == 1
    libraries = [c for c in components if c["type"] == "library"]
    assert all(re.fullmatch(r"pkg:(pypi|deb/debian)/[^@/]+@[^@ +]+", c["purl"]) for c in libraries)
    return {component["purl"]: component for component in libraries}


def hashes(component: dict[str, Any]) -> list[str]:
    references = component["externalReferences"]
    [files] = [found["hashes"] for found in references if found["type"] == "distribution"]
    return [entry["content"] for entry in files if entry["alg"] == "SHA-256"]


def test_the_venvs_packages_have_versions_licences_and_the_pins_hashes(tmp_path: Path) -> None:
    commands = Commands(copy_checkout(tmp_path))
    done = commands.make("sbom")
    assert done.returncode == 0, done.stderr
    [file] = (tmp_path / "results" / "sbom").iterdir()
    found = check(json.loads(file.read_text()))
    python = CHECKOUT / ".venv" / "bin" / "python"
    code = "import importlib.metadata as m; print(m.version('flask'), m.version('uwsgi'))"
    flask, uwsgi = subprocess.check_output([python, "-c", code], text=True).split()
    assert found[f"pkg:pypi/flask@{flask}"]["licenses"] == [{"expression": "BSD-3-Clause"}]
    server = found[f"pkg:pypi/uwsgi@{uwsgi}"]
    assert all(
        value in (CHECKOUT / "requirements/server.txt").read_text() for value in hashes(server)
    )
    assert {"type": "vcs", "url": "https://github.com/unbit/uwsgi"} in server["externalReferences"]
    profile = hashlib.sha256((CHECKOUT / "uwsgi/build.ini").read_bytes()).hexdigest()
    assert server["properties"] == [{"name": "sha256 of uwsgi/build.ini", "value": profile}]
    assert re.search(r"^ +\d+  BSD-3-Clause$", done.stdout, re.MULTILINE)


def test_hashes_belong_to_the_pinned_version_only(tmp_path: Path) -> None:
    (tmp_path / "requirements").mkdir()
    pins = (
        "Foo_Bar[more]==1.0 \\\n    --hash=sha256:"
        + "a" * 64
        + " \\\n    --hash=sha256:"
        + "b" * 64
    )
    (tmp_path / "requirements" / "app.txt").write_text(f"{pins}\n    # via app\n")
    packages = [{"name": "foo.bar", "version": "1.0"}, {"name": "foo.bar", "version": "1.1"}]
    same, other = sbom.python_components(packages, sbom.pinned(tmp_path))
    assert same["purl"] == "pkg:pypi/foo-bar@1.0"
    assert hashes(same) == ["a" * 64, "b" * 64]
    assert "externalReferences" not in other


@pytest.mark.parametrize(
    ("metadata", "shown"),
    [
        ({"license_expression": "MIT OR Apache-2.0", "license": "old"}, "MIT OR Apache-2.0"),
        (
            {
                "license": "the\nwhole\ntext",
                "classifier": ["License :: OSI Approved", "License :: OSI Approved :: MIT License"],
            },
            "MIT License",
        ),
        ({"license": "ISC", "classifier": ["Framework :: Flask"]}, "ISC"),
        ({"license": "the\nwhole\ntext"}, "unknown: pkg:pypi/one@1"),
        ({"license": "UNKNOWN"}, "unknown: pkg:pypi/one@1"),
        ({}, "unknown: pkg:pypi/one@1"),
    ],
)
def test_the_licence_is_the_one_that_the_metadata_names(
    metadata: dict[str, Any], shown: str
) -> None:
    components = sbom.python_components([{"name": "one", "version": "1", **metadata}], {})
    assert sbom.summary(components).splitlines()[1:] == [f"    1  {shown}"]


def test_a_debian_package_names_its_source_where_that_differs() -> None:
    lines = [
        "installed libstdc++6 14.2.0-19 amd64 gcc-14 14.2.0-19",
        "installed bash 5.2.37-2+b10 amd64 bash 5.2.37-2",
        "installed apt 3.0.4 amd64 apt 3.0.4",
        "config-files gone 1:1~2 all gone 1:1~2",
    ]
    system, *found = sbom.debian_components(lines, "debian", "13")
    assert (system["type"], system["name"], system["version"]) == (
        "operating-system",
        "debian",
        "13",
    )
    assert [component["purl"] for component in found] == [
        "pkg:deb/debian/libstdc%2B%2B6@14.2.0-19?arch=amd64&distro=debian-13&upstream=gcc-14%4014.2.0-19",
        "pkg:deb/debian/bash@5.2.37-2%2Bb10?arch=amd64&distro=debian-13&upstream=bash%405.2.37-2",
        "pkg:deb/debian/apt@3.0.4?arch=amd64&distro=debian-13",
    ]


def test_without_a_venv_and_images_there_is_an_error(tmp_path: Path) -> None:
    commands = Commands(copy_checkout(tmp_path, venv=False))
    done = commands.make("sbom")
    assert done.returncode != 0
    assert "there is no .venv: make up" in done.stderr
    assert not (tmp_path / "results").exists()


@pytest.mark.containers
def test_an_image_is_asked_itself(
    stack: ComposeRuntime, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sbom, "choose", lambda _environ: (stack, "the test says so"))
    monkeypatch.setattr(sbom, "RESULTS", tmp_path)
    assert sbom.sbom({}) == 0
    (app,) = tmp_path.glob("*-app-dev.cdx.json")
    found = check(json.loads(app.read_text()))
    kinds = {purl.partition("/")[0] for purl in found}
    assert kinds == {"pkg:pypi", "pkg:deb"}
    (nginx,) = tmp_path.glob("*-nginx-dev.cdx.json")
    assert any(
        purl.startswith("pkg:deb/debian/nginx@") for purl in check(json.loads(nginx.read_text()))
    )
