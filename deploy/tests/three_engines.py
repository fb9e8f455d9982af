"""Three Docker Engines on one machine, joined into one Swarm, that a test can kill and cut off.

Each engine is a process tree in network, process and mount namespaces of its own, and a bridge in a
fourth network namespace joins them. The network of the machine and its own engine do not change.
The kernel ends the containers of an engine together with it, as when a machine loses its power.
Only control groups and a directory outlive the processes; stop() removes both. Images and volumes
are in a tmpfs, about 1.5 GB: a disk needed 28 s for deleting them.

Needs root. There is no IPVS in such a namespace on every kernel, so publish ports in host mode.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from tests.needs import missing_engine
from tests.waiting import wait_until

PROGRAMS = {
    "docker-registry": "docker-registry",
    "dockerd": "docker.io",
    "ip": "iproute2",
    "iptables": "iptables",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
    "unshare": "util-linux",
}
NODES = (1, 2, 3)
OUTSIDE = "10.77.0.254"
REGISTRY = f"{OUTSIDE}:5000"
_CLONE_NEWNET = 0x40000000
_CGROUPS = Path("/sys/fs/cgroup")
# An engine tells the same deadline with its gRPC code or, without one, in words.
_WAITS_FOR_THE_LEADER = (
    "DeadlineExceeded",
    "context deadline exceeded",
    "does not have a leader",
    "code = Unavailable",
)


class LeaderUnknown(AssertionError):
    """A manager has no answer, because it waits for the leader."""


def missing() -> str | None:
    """Return why three engines cannot run here; None if they can."""
    if reason := missing_engine():
        return reason
    if os.geteuid() != 0:
        return "root, because it starts engines in network namespaces"
    lacking = sorted({package for name, package in PROGRAMS.items() if shutil.which(name) is None})
    return f"Debian's {' '.join(lacking)}" if lacking else None


def address(node: int) -> str:
    return f"10.77.0.{node}"


def hostname(node: int) -> str:
    return f"node{node}"


class Engines:
    """The engines, their network and a registry that they pull from."""

    def __init__(self) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="engines-"))
        self.cgroup = self.home.name
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._machine = os.open("/proc/self/ns/net", os.O_RDONLY)
        self._network = -1

    def start(self) -> None:
        """Start all and join them. All three are managers: a majority outlives one of them."""
        data = self.home / "data"
        data.mkdir()
        memory = f"mount -t tmpfs -o mode=711 tmpfs {data} && exec sleep infinity"
        self._start("network", "unshare", "--net", "--mount", "sh", "-c", memory)
        process = self._running["network"]
        mounts = Path(f"/proc/{process.pid}/mounts")
        wait_until(lambda: f" {data} tmpfs " in mounts.read_text(), 30)
        self._network = os.open(f"/proc/{process.pid}/ns/net", os.O_RDONLY)
        self._ip("link", "add", "bridge", "type", "bridge")
        self._ip("addr", "add", f"{OUTSIDE}/24", "dev", "bridge")
        self._ip("link", "set", "lo", "up")
        self._ip("link", "set", "bridge", "up")
        self._start_registry()
        for node in NODES:
            self.boot(node)
        for node in NODES:
            self.wait_for(node)
        self.docker(1, "swarm", "init", f"--advertise-addr={address(1)}")
        token = self.docker(1, "swarm", "join-token", "--quiet", "manager").strip()
        for node in NODES[1:]:
            self.docker(node, "swarm", "join", f"--token={token}", f"{address(1)}:2377")
        # Tests tell the nodes apart by their names, which the nodes report after they have joined.
        names = [hostname(node) for node in NODES]
        wait_until(
            lambda: sorted(self.docker(1, "node", "ls", "--format={{.Hostname}}").split()) == names,
            30,
        )

    def stop(self) -> None:
        for name in list(self._running):
            self._kill(name)
        for file in (self._machine, self._network):
            if file >= 0:
                os.close(file)
        _remove_cgroups(self.cgroup)
        shutil.rmtree(self.home)

    def boot(self, node: int) -> None:
        """Start the engine of *node*: with what is on its disk, if it ran before."""
        run = self.home / f"run{node}"
        # As after a boot: /run is empty.
        shutil.rmtree(run, ignore_errors=True)
        run.mkdir()
        engine = (
            f"dockerd --host={self.host(node)} --data-root={self.home}/data/{node}"
            f" --exec-root={run}/exec --pidfile={run}/pid --cgroup-parent=/{self.cgroup}/{node}"
            f" --insecure-registry={REGISTRY} --no-new-privileges"
        )
        rename = f"echo {hostname(node)} >/proc/sys/kernel/hostname"
        namespaces = (
            "--net",
            "--uts",
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
        )
        # The shell is the first process of its namespace and becomes the parent of orphans.
        self._start(
            *(str(node), "nsenter", self._memory(), "unshare"),
            *(*namespaces, "sh", "-c", f"{rename}; {engine} & wait"),
        )
        process = self._running[str(node)]
        self._ip(
            *("link", "add", hostname(node), "type", "veth"),
            *("peer", "name", "eth0", "netns", str(process.pid)),
        )
        self._ip("link", "set", hostname(node), "master", "bridge", "up")
        for arguments in (
            ("addr", "add", f"{address(node)}/24", "dev", "eth0"),
            ("link", "set", "lo", "up"),
            ("link", "set", "eth0", "up"),
            ("route", "add", "default", "via", OUTSIDE),
        ):
            _run("nsenter", f"--net=/proc/{process.pid}/ns/net", "ip", *arguments)

    def wait_for(self, node: int) -> None:
        """Return when the engine of *node* answers."""

        def answers() -> bool:
            process = self._running[str(node)]
            assert process.poll() is None, f"engine {node} has ended: {self.log(node)}"
            with suppress(AssertionError):
                return bool(self.docker(node, "info", "--format={{.ID}}"))
            return False

        try:
            wait_until(answers, 90)
        except AssertionError:
            raise AssertionError(f"engine {node} does not answer: {self.log(node)}") from None

    def kill(self, node: int) -> None:
        """SIGKILL for the engine and all its containers."""
        self._kill(str(node))
        _remove_cgroups(f"{self.cgroup}/{node}")

    def cut_off(self, node: int) -> None:
        """Take the network from *node*; its containers run on."""
        self._ip("link", "set", hostname(node), "down")

    def join_again(self, node: int) -> None:
        self._ip("link", "set", hostname(node), "up")

    def host(self, node: int) -> str:
        return f"unix://{self.home}/run{node}/docker.sock"

    def docker(self, node: int, *arguments: str) -> str:
        """Run `docker` against *node*; return its output.

        Raises AssertionError if it fails, LeaderUnknown if that may be different soon.
        """
        return _run("docker", f"--host={self.host(node)}", *arguments)

    def ready(self, manager: int) -> set[str]:
        """Return the addresses of the nodes that *manager* sees as ready."""
        identities = self.docker(manager, "node", "ls", "--quiet").split()
        nodes = json.loads(self.docker(manager, "node", "inspect", *identities))
        return {
            # A manager that has lost the others says 0.0.0.0 of itself.
            node["ManagerStatus"]["Addr"].partition(":")[0]
            for node in nodes
            if node["Status"]["State"] == "ready"
            and node["ManagerStatus"]["Reachability"] == "reachable"
        }

    def push(self, images: Mapping[str, str]) -> None:
        """Copy images of the machine's engine to the registry, under their names there."""
        archive = self.home / "images.tar"
        # One archive has each layer once.
        _run("docker", "save", f"--output={archive}", *images)
        self.docker(1, "load", "--quiet", f"--input={archive}")
        archive.unlink()
        for image, target in images.items():
            self.docker(1, "tag", image, target)
            self.docker(1, "push", "--quiet", target)

    def change(self, image: str, to: str, *changes: str) -> None:
        """Push a copy of *image* with *changes*, instructions of a Dockerfile, as *to*."""
        container = self.docker(1, "create", image).strip()
        options = [f"--change={change}" for change in changes]
        self.docker(1, "commit", *options, container, to)
        self.docker(1, "rm", container)
        self.docker(1, "push", "--quiet", to)

    def check_often(self, image: str) -> None:
        """Push *image* with its health check every second: tasks are healthy sooner."""
        health = json.loads(
            self.docker(1, "inspect", "--format={{json .Config.Healthcheck}}", image)
        )
        options = f"--interval=1s --timeout=3s --retries={6 * health['Retries']}"
        program, *command = health["Test"]
        self.change(image, image, f"HEALTHCHECK {options} {program} {json.dumps(command)}")

    @contextmanager
    def outside(self) -> Iterator[None]:
        """Let this thread open its sockets beside the nodes, as a client of theirs."""
        _enter(self._network)
        try:
            yield
        finally:
            _enter(self._machine)

    def log(self, node: int) -> str:
        return (self.home / f"{node}.log").read_text(errors="replace")[-2000:]

    def _start(self, name: str, *command: str) -> None:
        # The kernel ends it with this process, which may be killed.
        with (self.home / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                ["setpriv", "--pdeathsig=KILL", *command],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        self._running[name] = process
        if "--net" in command:
            mine, its = Path("/proc/self/ns/net"), Path(f"/proc/{process.pid}/ns/net")
            wait_until(lambda: its.readlink() != mine.readlink(), 30)

    def _start_registry(self) -> None:
        configuration = {
            "version": 0.1,
            "storage": {"filesystem": {"rootdirectory": f"{self.home}/data/registry"}},
            "http": {"addr": REGISTRY},
            "log": {"level": "warn"},
        }
        file = self.home / "registry.yml"
        file.write_text(json.dumps(configuration))
        inside = f"--net=/proc/{self._running['network'].pid}/ns/net"
        command = ("nsenter", inside, self._memory(), "docker-registry", "serve", str(file))
        self._start("registry", *command)

        def listens() -> bool:
            with suppress(OSError), self.outside():
                socket.create_connection((OUTSIDE, 5000), 1).close()
                return True
            return False

        wait_until(listens, 30)

    def _memory(self) -> str:
        """Return the option of nsenter for the namespace with the tmpfs."""
        return f"--mount=/proc/{self._running['network'].pid}/ns/mnt"

    def _kill(self, name: str) -> None:
        process = self._running.pop(name)
        process.send_signal(signal.SIGKILL)
        process.wait()
        # unshare has ended, and its child is just being ended.
        wait_until(lambda: not _members(self.home, name), 30)

    def _ip(self, *arguments: str) -> None:
        network = self._running["network"].pid
        _run("nsenter", f"--net=/proc/{network}/ns/net", "ip", *arguments)


class Balancer:
    """Connects to the nodes in turn, as a TCP load balancer in front of them does.

    A node that does not take a connection within a second gets none for five seconds.
    """

    def __init__(self, engines: Engines, port: int) -> None:
        self._engines, self._port = engines, port
        self._next = 0
        self._until = dict.fromkeys(NODES, 0.0)
        self._lock = threading.Lock()

    def connect(self, timeout: float) -> socket.socket:
        """Raises OSError if no node takes the connection."""
        with self._lock:
            self._next += 1
            turn = [NODES[(self._next + step) % len(NODES)] for step in range(len(NODES))]
        now = time.monotonic()
        # Those that are left out come last.
        for node in sorted(turn, key=lambda node: self._until[node] > now):
            try:
                with self._engines.outside():
                    connection = socket.create_connection((address(node), self._port), 1.0)
            except OSError:
                self._until[node] = time.monotonic() + 5
                continue
            connection.settimeout(timeout)
            return connection
        raise OSError("no node takes a connection")


def _enter(network: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(network, _CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _members(home: Path, name: str) -> list[int]:
    """Return the processes that belong to engine *name*."""
    marks = (f"{home}/run{name}/".encode(), f"{home}/data/{name}/".encode())
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            command = (process / "cmdline").read_bytes()
            if any(mark in command for mark in marks):
                found.append(int(process.name))
    return found


def _remove_cgroups(name: str) -> None:
    """Remove the control groups below *name*, of version 1 or 2; none has a process any more."""
    for root in (_CGROUPS, *_CGROUPS.glob("*/")):
        if (root / name).is_dir():
            for folder, _, _ in os.walk(root / name, topdown=False):
                # A process that was just killed still counts for a moment.
                wait_until(partial(_removed, Path(folder)))


def _removed(folder: Path) -> bool:
    try:
        folder.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _run(*command: str) -> str:
    finished = subprocess.run(command, capture_output=True, check=False, timeout=300)
    output, error = finished.stdout.decode(), finished.stderr.decode()
    if finished.returncode == 0:
        return output
    told = f"{' '.join(command[:6])}: {error}"
    waits = any(words in error for words in _WAITS_FOR_THE_LEADER)
    raise LeaderUnknown(told) if waits else AssertionError(told)
