"""The rendered pods, run by `podman kube play`, which does a part of a kubelet's work.

What a kubelet does and podman 4.3 does not is done here: a workload that is no Deployment becomes a
pod, a preStop command runs before the signal, and a probe runs when a test asks. `playable` says
what else is changed.
"""

from __future__ import annotations

import copy
import json
import os
import re
import resource
import shlex
import shutil
import subprocess
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import yaml

from deploy.tests.manifests import Manifest, one, templates

PACKAGES = "podman catatonit runc iptables"
# Podman's two kinds of network, and where it looks for their programs. Podman 5 has the first only.
NETWORKS = {
    "netavark": ("/usr/local/libexec/podman/netavark", "/usr/local/lib/podman/netavark",
                 "/usr/libexec/podman/netavark", "/usr/lib/podman/netavark"),
    "cni": ("/usr/libexec/cni/bridge", "/usr/lib/cni/bridge", "/opt/cni/bin/bridge"),
}  # fmt: skip
# Of open files, and of processes of a user.
MOST = 20_000


def missing_podman() -> str | None:
    """Return why pods cannot run here; None if they can."""
    if os.geteuid() != 0:
        return "root: podman sets up the network and the limits of the pods"
    lacking = [name for name in PACKAGES.split() if name != "catatonit" and not shutil.which(name)]
    if not any(
        Path(folder, "catatonit").exists() for folder in ("/usr/bin", "/usr/libexec/podman")
    ):
        lacking.append("catatonit")
    packages = PACKAGES
    if network() is None:
        package = "containernetworking-plugins" if 0 < version() < 5 else "netavark"
        lacking.append(package)
        packages += f" {package}"
    if lacking:
        return f"{', '.join(lacking)}: not installed (Debian: apt-get install {packages})"
    return None


def version() -> int:
    """Return the first number of podman's version; 0 without podman."""
    if not shutil.which("podman"):
        return 0
    done = subprocess.run(["podman", "--version"], capture_output=True, text=True, check=True)
    found = re.search(r"version (\d+)\.", done.stdout)
    assert found, done.stdout
    return int(found[1])


def network() -> str | None:
    """Return the kind of network that podman can set up here; None if there is none."""
    kinds = ("netavark",) if version() > 4 else ("netavark", "cni")
    return next((kind for kind in kinds if any(Path(p).exists() for p in NETWORKS[kind])), None)


def playable(
    manifests: list[Manifest],
    workload: str,
    name: str,
    *,
    images: Mapping[str, str],
    hosts: Mapping[str, str],
    settings: Mapping[str, str],
) -> list[Manifest]:
    """Return the pod of *workload*, called *name*, in the words of podman 4.3.

    The user, the rights, the limits, the commands, the variables and the mounts stay.
    """
    template = copy.deepcopy(templates(manifests)[workload])
    pod = template["spec"]
    # podman panics when it may leave out a volume, so what is optional and absent is left out here.
    absent = {v["name"] for v in pod["volumes"] if v.get("secret", {}).get("optional")}
    pod["volumes"] = [v for v in pod["volumes"] if v["name"] not in absent]
    # podman has no claims.
    claims = one(manifests, "StatefulSet", workload) if workload == "redis" else {"spec": {}}
    for claim in claims["spec"].get("volumeClaimTemplates", []):
        pod["volumes"].append({"name": claim["metadata"]["name"], "emptyDir": {}})
    used: list[Manifest] = []
    for volume in pod["volumes"]:
        # podman has one volume of each name for all pods, and calls that of a secret by the secret.
        volume["name"] = f"{name}-{volume['name']}"
        if secret := volume.get("secret"):
            used.append(copy.deepcopy(one_by_name(manifests, secret["secretName"])))
            secret.update(secretName=f"{name}-{secret['secretName']}", optional=False)
    for each in pod["containers"]:
        each["image"] = images[each["image"].rpartition(":")[0].rpartition("/")[2]]
        # podman publishes them on this machine.
        each.pop("ports", None)
        each["envFrom"] = [
            source
            for source in each.get("envFrom", [])
            if not source["configMapRef"].get("optional")
        ]
        for source in each["envFrom"]:
            found = copy.deepcopy(one_by_name(manifests, source["configMapRef"]["name"]))
            found["data"] |= settings
            used.append(found)
            source["configMapRef"]["name"] = f"{name}-{source['configMapRef']['name']}"
        each["volumeMounts"] = [
            {**mount, "name": f"{name}-{mount['name']}"}
            for mount in each["volumeMounts"]
            if mount["name"] not in absent
        ]
        for probe in ("startupProbe", "livenessProbe"):
            if probe in each:
                # podman joins the words and gives them to a shell.
                command = each[probe]["exec"]["command"]
                each[probe]["exec"]["command"] = [shlex.join(command)]
    for manifest in used:
        manifest["metadata"] = {"name": f"{name}-{manifest['metadata']['name']}"}
    # Debian's podman 4.3 has no DNS for pods.
    pod["hostAliases"] = [{"ip": ip, "hostnames": [host]} for host, ip in hosts.items()]
    named = {manifest["metadata"]["name"]: manifest for manifest in used}
    metadata = {"name": name, "labels": template["metadata"]["labels"]}
    return [
        *named.values(),
        {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod},
    ]


def one_by_name(manifests: list[Manifest], name: str) -> Manifest:
    return next(m for m in manifests if m["metadata"]["name"] == name)


class Podman:
    """Pods whose names begin with *prefix*, and files of their own in *folder*."""

    def __init__(self, folder: Path, prefix: str) -> None:
        self.prefix = prefix
        self._folder = folder
        self._images: list[str] = []
        self._pods: dict[str, Manifest] = {}
        limits = {}
        for limit in ("nofile", "nproc"):
            _, hard = resource.getrlimit(getattr(resource, f"RLIMIT_{limit.upper()}"))
            limits[limit] = MOST if hard == resource.RLIM_INFINITY else min(hard, MOST)
        config = folder / "containers.conf"
        # crun does not run on machines with both versions of cgroups. podman's own limits are
        # higher than many machines allow.
        ulimits = [f"{limit}={most}:{most}" for limit, most in limits.items()]
        config.write_text(
            '[engine]\nruntime = "runc"\n[containers]\nhttp_proxy = false\n'
            f"default_ulimits = {json.dumps(ulimits)}\n"
            f'[network]\nnetwork_backend = "{network()}"\n',
            encoding="utf-8",
        )
        # netavark takes nftables or iptables, and only the latter is asked for above.
        self._environ = {**os.environ, "CONTAINERS_CONF": str(config), "NETAVARK_FW": "iptables"}

    def __call__(self, *arguments: str, check: bool = True, timeout: float = 180) -> str:
        """Return the output of podman. AssertionError if it fails, unless *check* is off."""
        done = subprocess.run(
            ["podman", *arguments], env=self._environ,
            capture_output=True, text=True, check=False, timeout=timeout,
        )  # fmt: skip
        assert done.returncode == 0 or not check, f"podman {arguments}: {done.stderr}"
        return done.stdout

    def load(self, *images: str) -> dict[str, str]:
        """Copy images of the Docker engine; return their names here, by the last part of each."""
        archive = self._folder / "images.tar"
        subprocess.run(["docker", "save", "--output", str(archive), *images], check=True)
        self("load", "--quiet", "--input", str(archive))
        archive.unlink()
        self._images += [f"localhost/{image}" for image in images]
        return {
            image.rpartition(":")[0].rpartition("/")[2]: f"localhost/{image}" for image in images
        }

    def play(self, manifests: list[Manifest]) -> str:
        """Start the pod that comes last in *manifests*; return its address."""
        pod = manifests[-1]
        name = pod["metadata"]["name"]
        file = self._folder / f"{name}.yaml"
        file.write_text(yaml.safe_dump_all(manifests), encoding="utf-8")
        self._pods[name] = pod
        self._give_volumes(pod["spec"])
        self("kube", "play", str(file))
        (infra,) = json.loads(
            self("pod", "inspect", name, "--format", "[{{json .InfraContainerID}}]")
        )
        networks = self.inspect(infra)["NetworkSettings"]["Networks"].values()
        return next(str(network["IPAddress"]) for network in networks)

    def _give_volumes(self, pod: Manifest) -> None:
        """Create each emptyDir and each secret for the fsGroup of the pod, as a kubelet does.

        Otherwise the container that starts first decides who owns a folder, and all may read a
        secret: podman writes into the file that is there, and leaves its owner and mode.
        """
        names, script = [], ["set -e"]
        group = pod["securityContext"].get("fsGroup", 0)
        for volume in pod["volumes"]:
            if "emptyDir" in volume:
                names.append(volume["name"])
                script.append(f"chown 0:{group} /volumes/{names[-1]}")
                script.append(f"chmod 2777 /volumes/{names[-1]}")
            elif secret := volume.get("secret"):
                names.append(secret["secretName"])
                for item in secret["items"]:
                    file = f"/volumes/{names[-1]}/{item['path']}"
                    script.append(
                        f"install -m {secret['defaultMode']:o} -g {group} /dev/null {file}"
                    )
        self(
            "run", "--rm", "--network=none", "--user=0:0",
            *(f"--volume={name}:/volumes/{name}" for name in names),
            "--entrypoint=/bin/sh", pod["containers"][0]["image"], "-c", "\n".join(script),
        )  # fmt: skip

    def inspect(self, container: str) -> Manifest:
        found: Manifest = json.loads(self("inspect", container))[0]
        return found

    def execute(self, container: str, script: str) -> str:
        """Run a shell script in the container, as its user."""
        return self("exec", container, "sh", "-c", script)

    def give(self, container: str, script: str, data: bytes) -> None:
        """Run a shell script with *data* as its input, which may end the container."""
        command = ["podman", "exec", "--interactive", container, "sh", "-c", script]
        subprocess.run(command, env=self._environ, input=data, capture_output=True, check=False)

    def memory(self, container: str) -> int:
        """Return the bytes of its processes, without what is only cached."""
        files = "/sys/fs/cgroup/memory.stat /sys/fs/cgroup/memory/memory.stat"
        lines = self.execute(container, f"cat {files} 2>/dev/null || true")
        return int(re.search(r"^(?:anon|rss) (\d+)$", lines, re.MULTILINE)[1])

    def alive(self, container: str) -> bool:
        """Whether the liveness probe succeeds now."""
        command = ["podman", "healthcheck", "run", container]
        done = subprocess.run(command, env=self._environ, capture_output=True, check=False)
        return done.returncode == 0

    def stop(self, name: str) -> dict[str, int]:
        """Stop a pod as a kubelet does; return the exit code of each container.

        All containers at once: the preStop command, SIGTERM, and SIGKILL when the grace is over.
        """
        spec = self._pods[name]["spec"]
        ends = time.monotonic() + spec["terminationGracePeriodSeconds"]

        def stop(each: Manifest) -> int:
            container = f"{name}-{each['name']}"
            if hook := each.get("lifecycle", {}).get("preStop"):
                self("exec", container, *hook["exec"]["command"])
            self("stop", "--time", str(max(1, int(ends - time.monotonic()))), container)
            return int(self.inspect(container)["State"]["ExitCode"])

        with ThreadPoolExecutor() as pool:
            codes = list(pool.map(stop, spec["containers"]))
        return {each["name"]: code for each, code in zip(spec["containers"], codes, strict=True)}

    def finished(self, container: str) -> int:
        """Wait until the container has ended; return its exit code."""
        return int(self("wait", container))

    def clean(self) -> None:
        """Remove what was started and loaded."""
        for name in self._pods:
            self("pod", "rm", "--force", "--time", "1", name, check=False)
        for kind in ("volume", "secret"):
            for found in self(kind, "ls", "--format", "{{.Name}}").split():
                if found.startswith(self.prefix):
                    self(kind, "rm", found, check=False)
        for image in self._images:
            self("image", "rm", "--force", image, check=False)
