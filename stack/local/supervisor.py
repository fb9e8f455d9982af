"""The supervisord of one copy: configuration, start, and calls to its XML-RPC interface."""

from __future__ import annotations

import http.client
import os
import shlex
import socket
import subprocess
import time
import xmlrpc.client
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stack.errors import StackError

# Signal and longest wait of a graceful stop. nginx waits for the responses in flight, up to the
# longest harakiri. uwsgi/entrypoint ends within 75 s; the kill after 85 s is for a stalled machine.
STOP = {"redis": ("TERM", 30), "app": ("TERM", 85), "nginx": ("QUIT", 70)}

_HEAD = """\
[supervisord]
nodaemon=true
identifier={name}
logfile={run}/logs/supervisord.log
logfile_maxbytes=1MB
logfile_backups=1
pidfile={run}/supervisord.pid
childlogdir={run}/logs
{user}
[unix_http_server]
file={run}/supervisor.sock
chmod=0700

[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface

[program:rotate]
command={rotate}
autorestart=true
stdout_logfile=NONE
redirect_stderr=true
"""

# autostart: off, because redis must answer before the app starts; supervisord's priorities only
#   order the forks.
# startretries: about an hour of retries at growing intervals. With the default of 3, a disk that is
#   full at night would still be an outage in the morning.
# killasgroup: a stop that timed out must not leave workers that hold the port.
# stdout_logfile: none, because stack.local.program opens the service's log file.
_PROGRAM = """
[program:{service}]
command={command}
autostart=false
autorestart=true
startsecs=1
startretries=80
stopsignal={signal}
stopwaitsecs={wait}
killasgroup=true
redirect_stderr=true
stdout_logfile=NONE
"""


# supervisord, which a full disk does not end: its logger raises where it cannot report a line that
# it could not write.
_SUPERVISORD = """
import supervisor.loggers
supervisor.loggers.Handler.handleError = lambda handler: None
from supervisor.supervisord import main
main()
"""


class Supervisor:
    """The supervisord whose files are in *run*.

    *run* must be short (a unix socket's path has at most 107 bytes) and free of characters that an
    ini file interprets; LocalRuntime ensures both.
    """

    def __init__(self, run: Path, checkout: Path, binaries: Path) -> None:
        self._run = run
        self._checkout = checkout
        self._binaries = binaries

    def start(
        self, name: str, entrypoints: Mapping[str, Path], environ: Mapping[str, str]
    ) -> subprocess.Popen[bytes]:
        """Start supervisord, without any service yet.

        It gets a session of its own, which survives the terminal and identifies every process of
        this copy.
        """
        config = self._run / "supervisord.conf"
        config.write_text(self._render(name, entrypoints), encoding="utf-8")
        with (self._run / "logs" / "supervisord.out").open("wb") as out:
            return subprocess.Popen(
                [self._binaries / "python", "-c", _SUPERVISORD, "--configuration", config],
                cwd=self._checkout,
                env=dict(environ),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )

    def wait_until_it_answers(self, process: subprocess.Popen[bytes], timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while not self.answers():
            if process.poll() is not None or time.monotonic() > deadline:
                log = (self._run / "logs" / "supervisord.out").read_text(encoding="utf-8")
                raise StackError("supervisord did not start", log="\n".join(log.splitlines()[-6:]))
            time.sleep(0.02)

    def answers(self) -> bool:
        try:
            self._call("getState")
        except (OSError, http.client.HTTPException):
            return False
        return True

    def start_program(self, service: str) -> None:
        self._call("startProcess", service, False)

    def stop_program(self, service: str) -> None:
        """Stop it gracefully and return when it has ended; one that does not run is no error."""
        try:
            self._call("stopProcess", service, True)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode != 70:  # NOT_RUNNING
                raise

    def signal_program(self, service: str, name: str) -> None:
        """Send signal *name* to the service's main process. Raises StackError if there is none."""
        try:
            self._call("signalProcess", service, name)
        except xmlrpc.client.Fault as fault:
            raise StackError(f"{service} does not run", "make logs") from fault

    def shutdown(self) -> None:
        self._call("shutdown")

    def programs(self) -> dict[str, dict[str, Any]]:
        """By service: supervisord's ``getProcessInfo``, such as ``pid`` and ``statename``."""
        known = {info["name"]: info for info in self._call("getAllProcessInfo")}
        return {service: known[service] for service in STOP}

    def _call(self, method: str, *arguments: str | bool) -> Any:
        transport = _OverSocket(self._run / "supervisor.sock")
        with xmlrpc.client.ServerProxy("http://stack", transport=transport) as proxy:
            return getattr(proxy.supervisor, method)(*arguments)

    def _render(self, name: str, entrypoints: Mapping[str, Path]) -> str:
        logs = self._run / "logs"
        parts = [
            _HEAD.format(
                name=name,
                run=_literal(str(self._run)),
                # Without it supervisord warns at every start as root.
                user="user=root\n" if os.geteuid() == 0 else "",
                rotate=self._python("stack.local.rotate", logs),
            )
        ]
        for service, entrypoint in entrypoints.items():
            files = [self._run / f"{service}.pid", logs / f"{service}.log", entrypoint]
            command = self._python("stack.local.program", service, *files)
            signal, wait = STOP.get(service, ("TERM", 10))
            parts.append(
                _PROGRAM.format(service=service, command=command, signal=signal, wait=wait)
            )
        return "".join(parts)

    def _python(self, module: str, *arguments: str | Path) -> str:
        """-S halves the start: neither module needs a package."""
        command = [self._binaries / "python", "-S", "-m", module, *arguments]
        return _literal(shlex.join(str(part) for part in command))


def _literal(text: str) -> str:
    """Escape *text*: supervisord expands ``%(…)s`` in every value, and `` ;`` begins a comment."""
    if " ;" in text:
        raise StackError(f"the path of the checkout contains ' ;': {text}", "move the checkout")
    return text.replace("%", "%%")


class _OverSocket(xmlrpc.client.Transport):
    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection("stack")
        connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._connection = host, connection  # for close()
        connection.sock.connect(str(self._path))
        return connection
