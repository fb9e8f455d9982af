"""``make sbom``: what is installed, as CycloneDX 1.6 files in ``results/sbom/``.

One file is about the ``.venv``, one about each image of this copy. An image is asked itself, so a
file holds what the image has, whatever the checkout's pins say.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from stack.checkout import CHECKOUT
from stack.choose import choose
from stack.compose.runtime import ComposeRuntime
from stack.errors import StackError
from stack.progress import Progress
from stack.venv import VirtualEnvironment, every_pin_file

Component = dict[str, Any]

RESULTS = CHECKOUT / "results" / "sbom"
_SERVER = Path("requirements/server.txt")
_PROFILE = "uwsgi/build.ini"
_UWSGI_SOURCE = "https://github.com/unbit/uwsgi"
# Prints a line of JSON. Debian's own Python packages are in the list of dpkg.
_PYTHON = """
import importlib.metadata, json
found = []
for package in importlib.metadata.distributions():
    if not str(package.locate_file("")).startswith("/usr/lib/python3/"):
        fields = package.metadata.json
        names = ("name", "version", "license_expression", "license", "classifier")
        found.append({name: fields[name] for name in names if name in fields})
print(json.dumps(found))
"""
_IMAGE = r"""
. /etc/os-release
echo "$ID $VERSION_ID"
sha256sum /srv/uwsgi/build.ini 2>/dev/null || echo
if command -v python3 >/dev/null; then python3 -I -c "$1"; else echo '[]'; fi
dpkg-query --show --showformat '${db:Status-Status} ${Package} ${Version} ${Architecture} '\
'${source:Package} ${source:Version}\n'
"""


def sbom(environ: Mapping[str, str]) -> int:
    """Write the files, and print the Python packages' licences."""
    progress = Progress.to_terminal()
    runtime, _ = choose(environ)
    venv = VirtualEnvironment(CHECKOUT, progress)
    documents = {}
    if venv.python.exists():
        progress.step("reading .venv")
        profile = _sha256(CHECKOUT / _PROFILE) if venv.has([_SERVER]) else ""
        packages = json.loads(_output([str(venv.python), "-I", "-c", _PYTHON]))
        root = {"type": "application", "name": runtime.name, "bom-ref": "root"}
        documents["local"] = document(root, python_components(packages, pinned(CHECKOUT), profile))
    if isinstance(runtime, ComposeRuntime):
        for image in sorted(set(runtime.compose("--profile", "*", "config", "--images").split())):
            known = ["image", "inspect", "--format", "{{.Id}}", image]
            if identity := runtime.docker(*known, check=False).strip():
                progress.step(f"reading {image}")
                documents[re.sub(r"[^\w.-]+", "-", image)] = _of_image(runtime, image, identity)
            else:
                print(f"{image} is not built")
        if documents.keys() <= {"local"}:
            raise StackError(f"no image of {runtime.name} is built", "make up")
    if not documents:
        raise StackError("there is no .venv", "make up")
    RESULTS.mkdir(parents=True, exist_ok=True)
    for name, content in documents.items():
        file = RESULTS / f"{name}.cdx.json"
        file.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        print(f"{file}: {len(content['components'])} components")
    print(summary([c for content in documents.values() for c in content["components"]]))
    return 0


def document(root: Component, components: Sequence[Component]) -> dict[str, Any]:
    """Return a CycloneDX document about *root*, made of *components*."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid4()}",
        "version": 1,
        "metadata": {"timestamp": now, "component": root},
        "components": sorted(components, key=lambda component: str(component["bom-ref"])),
    }


def python_components(
    packages: Sequence[Mapping[str, Any]], pins: Mapping[str, Sequence[str]], profile: str = ""
) -> list[Component]:
    """Return the components of *packages*: metadata as JSON (PEP 566).

    *pins* are SHA-256 hashes by purl. *profile* is the hash of uWSGI's build profile, if known.
    """
    found: dict[str, Component] = {}
    for package in packages:
        name, version = package["name"], package["version"]
        purl = _pypi(name, version)
        component = {"type": "library", "bom-ref": purl, "name": name, "version": version}
        component |= {"purl": purl}
        if licenses := list(_licenses(package)):
            component["licenses"] = licenses
        references: list[dict[str, Any]] = []
        if hashes := pins.get(purl):
            # A version has many files. The pins accept each, and nothing records which came.
            accepted = [{"alg": "SHA-256", "content": value} for value in hashes]
            comment = "the files that the pins accept"
            references.append(
                {"type": "distribution", "url": purl, "comment": comment, "hashes": accepted}
            )
        if name.lower() == "uwsgi":
            references.append({"type": "vcs", "url": _UWSGI_SOURCE})
            if profile:
                component["properties"] = [{"name": f"sha256 of {_PROFILE}", "value": profile}]
        if references:
            component["externalReferences"] = references
        # Python imports the first one that it finds.
        found.setdefault(purl, component)
    return list(found.values())


def debian_components(lines: Sequence[str], distribution: str, release: str) -> list[Component]:
    """Return the components of `dpkg-query`'s *lines*, and the distribution itself."""
    system = {"type": "operating-system", "name": distribution, "version": release}
    found: list[Component] = [{**system, "bom-ref": f"{distribution}@{release}"}]
    for line in lines:
        status, name, version, architecture, source, source_version = line.split()
        if status != "installed":
            continue
        purl = f"pkg:deb/{distribution}/{quote(name)}@{quote(version, safe=':')}"
        purl += f"?arch={architecture}&distro={distribution}-{release}"
        # Advisories name source packages.
        if (source, source_version) != (name, version):
            purl += f"&upstream={quote(f'{source}@{source_version}', safe=':')}"
        found.append(
            {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}
        )
    return found


def pinned(checkout: Path) -> dict[str, list[str]]:
    """Return the hashes of the pinned packages in *checkout*, by purl."""
    found: dict[str, list[str]] = {}
    for file in every_pin_file(checkout):
        purl = ""
        for line in (checkout / file).read_text(encoding="utf-8").splitlines():
            if pin := re.match(r"([\w.-]+)(?:\[[^]]*\])?==([^\s;\\]+)", line):
                purl = _pypi(pin[1], pin[2])
                found.setdefault(purl, [])
            hashes = re.findall(r"--hash=sha256:([0-9a-f]{64})", line)
            if purl:
                found[purl] += [value for value in hashes if value not in found[purl]]
    return found


def summary(components: Sequence[Component]) -> str:
    """Return how many Python packages have each licence, and which ones name none."""
    python = {c["purl"]: c for c in components if c.get("purl", "").startswith("pkg:pypi/")}
    counts = Counter(_shown(component) for component in python.values())
    unknown = sorted(purl for purl, component in python.items() if not _shown(component))
    del counts[""]
    lines = ["Licences of the Python packages, as their metadata names them:"]
    lines += [f"{count:5}  {name}" for name, count in counts.most_common()]
    if unknown:
        lines.append(f"{len(unknown):5}  unknown: {', '.join(unknown)}")
    if any(c.get("purl", "").startswith("pkg:deb/") for c in components):
        lines.append("Debian's packages: /usr/share/doc/PACKAGE/copyright in the image")
    return "\n".join(lines)


def _of_image(runtime: ComposeRuntime, image: str, identity: str) -> dict[str, Any]:
    answer = runtime.docker(
        "run", "--rm", "--network=none", "--read-only", "--entrypoint=bash", image,
        "-c", _IMAGE, "bash", _PYTHON,
    ).splitlines()  # fmt: skip
    distribution, release = answer[0].split()
    profile, packages = answer[1].partition(" ")[0], json.loads(answer[2])
    name, _, tag = image.rpartition(":")
    root: Component = {"type": "container", "bom-ref": identity, "name": name, "version": tag}
    root["properties"] = [{"name": "image ID", "value": identity}]
    components = python_components(packages, pinned(CHECKOUT), profile)
    return document(root, components + debian_components(answer[3:], distribution, release))


def _licenses(package: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield what CycloneDX lists: one SPDX expression, or names."""
    classifiers = [
        text.rpartition(" :: ")[2]
        for text in package.get("classifier", ())
        if text.startswith("License :: ") and not text.endswith(":: OSI Approved")
    ]
    field = package.get("license", "").strip()
    if expression := package.get("license_expression"):
        yield {"expression": expression}
    elif classifiers:
        yield from ({"license": {"name": name}} for name in classifiers)
    # Some put the whole text there, which names nothing.
    elif field and "\n" not in field and field.lower() != "unknown":
        yield {"license": {"name": field}}


def _shown(component: Component) -> str:
    return " or ".join(
        entry.get("expression") or entry["license"]["name"]
        for entry in component.get("licenses", ())
    )


def _pypi(name: str, version: str) -> str:
    return f"pkg:pypi/{re.sub(r'[-_.]+', '-', name).lower()}@{quote(version)}"


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _output(command: Sequence[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise StackError(f"{command[0]} does not work", "make up", log=done.stderr.strip())
    return done.stdout
