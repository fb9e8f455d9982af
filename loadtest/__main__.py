"""The command line: ``python -m loadtest --host URL [--profile P]``.

With a profile it runs Locust headless and writes a folder under ``results/loadtest/<profile>/``.
Without one it starts Locust's web page. Exit codes: 0 every threshold kept, 1 one broken, 2 usage,
3 could not run, 130 interrupted. The checks before the start need no package.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

from loadtest import profiles, target
from loadtest.latest import new_folder

EXIT_USAGE, EXIT_COULD_NOT_RUN = 2, 3
# Users finish their current task and log out; after this time Locust kills them.
STOP_TIMEOUT_SECONDS = 10
MOST_WORKERS = 64
PR_SET_PDEATHSIG = 1


def main() -> int:
    """Check the options and become Locust. Returns an exit code only if Locust does not start."""
    options = _parser().parse_args()
    if options.listen and not options.workers:
        return _complain("--listen needs --workers, the number to wait for", EXIT_USAGE)
    if options.worker:
        if os.environ.get("LOADTEST_MASTER") == str(os.getppid()):
            # The kernel kills it when the master ends, however it does.
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        host, _, port = options.worker.rpartition(":")
        _become_locust([*_WORKER, f"--master-host={host}", f"--master-port={port}"])
    try:
        profile = profiles.read(options.profile, os.environ) if options.profile else None
        target.refuse_foreign(options.host, os.environ)
        if options.check:
            return 0
        target.check_answers(options.host)
    except profiles.ProfileError as error:
        return _complain(str(error), EXIT_USAGE)
    except target.TargetError as error:
        return _complain(str(error), EXIT_USAGE if error.usage else EXIT_COULD_NOT_RUN)
    arguments = [f"--host={options.host}", f"--stop-timeout={STOP_TIMEOUT_SECONDS}"]
    if options.workers:
        arguments += _gather_workers(options)
    if profile is None:
        return _open_page(options, arguments)
    try:
        folder = new_folder(Path(options.results, profile.name))
    except OSError as error:
        return _complain(
            f"cannot write results to {options.results} ({error.strerror}): give another --results",
            EXIT_COULD_NOT_RUN,
        )
    bound = f"{profile.requests:,} requests or " if profile.requests else ""
    print(
        f"{profile.name}: {profile.users} users against {options.host}"
        f" for {bound}{profile.seconds:,.0f} s",
        flush=True,
    )
    arguments += ["--headless", "--only-summary", "--loglevel=WARNING"]
    arguments += [f"--csv={folder / 'locust'}", f"--html={folder / 'report.html'}"]
    _become_locust(arguments, LOADTEST_PROFILE=profile.name, LOADTEST_OUT=str(folder))


def _open_page(options: argparse.Namespace, arguments: list[str]) -> int:
    host, port = options.web_host, options.web_port
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return _complain(
                f"cannot listen on {host}:{port} ({error.strerror}): "
                "give another port with --web-port",
                EXIT_COULD_NOT_RUN,
            )
    address = f"http://{'127.0.0.1' if host == '0.0.0.0' else host}:{port}"  # noqa: S104
    print(f"Locust's page: {address}  (loads {options.host}; Ctrl-C stops it)", flush=True)
    page = profiles.PROFILES[profiles.OF_THE_PAGE]
    arguments += [f"--users={page.users}", f"--spawn-rate={page.rate}", "--class-picker"]
    arguments += [f"--web-host={host}", f"--web-port={port}", "--loglevel=WARNING"]
    _become_locust([*arguments, "--exit-code-on-error=0"])


_WORKER = ("--worker", "--loglevel=WARNING", "--exit-code-on-error=0")


def _gather_workers(options: argparse.Namespace) -> list[str]:
    """Start the workers, unless --listen waits for others; return the options of a master.

    Locust's own ``--processes`` would spare the lines that start them. But Ctrl-C in a terminal
    reaches its workers too, while users are logged in, and they outlive a killed master by 60 s.
    """
    os.environ.update(LOADTEST_WAIT=str(options.wait))
    host, _, port = (options.listen or f"127.0.0.1:{_free_port()}").rpartition(":")
    if not options.listen:
        folder = os.fspath(Path(__file__).resolve().parent)
        ours = {"LOADTEST_WORKERS": str(options.workers), "LOADTEST_LOCK": folder}
        ours["LOADTEST_MASTER"] = str(os.getpid())
        worker = [sys.executable, "-m", "loadtest", f"--worker={host}:{port}"]
        for _ in range(options.workers):
            # A session of its own: Ctrl-C is for the master, which lets the users log out.
            subprocess.Popen(worker, env={**os.environ, **ours}, start_new_session=True)
    return [
        "--master",
        f"--master-bind-host={host}",
        f"--master-bind-port={port}",
        f"--expect-workers={options.workers}",
    ]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _become_locust(arguments: list[str], **environment: str) -> NoReturn:
    """Replace this process by Locust, which patches the interpreter that it runs in."""
    # A shell starts background jobs with SIGINT ignored, and Locust would inherit that.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    # Locust reads keys from a terminal; in a background job that would stop it.
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    # Locust reads LOCUST_… variables as options.
    ours = {name: value for name, value in os.environ.items() if not name.startswith("LOCUST_")}
    locustfile = Path(__file__).with_name("locustfile.py")
    program = "loadtest.plain_locust"
    command = [sys.executable, "-m", program, f"--locustfile={locustfile}", *arguments]
    os.execve(sys.executable, command, {**ours, **environment})  # noqa: S606


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m loadtest",
        description="Load the stack: headless with --profile, else on Locust's web page.",
    )
    host = os.environ.get("HOST")
    parser.add_argument("--profile", help=f"one of {', '.join(profiles.PROFILES)}")
    parser.add_argument(
        "--host",
        default=host,
        required=not host and not any(it.startswith("--worker=") for it in sys.argv),
        type=lambda url: url.rstrip("/"),
        help="address to load (default: HOST=); `make loadtest` finds the running stack",
    )
    parser.add_argument("--results", default="results/loadtest", help="default: %(default)s")
    parser.add_argument("--workers", type=_count, help="processes that have the users; WORKERS=")
    parser.add_argument(
        "--listen", type=_address, help="HOST:PORT for workers that are started elsewhere"
    )
    parser.add_argument(
        "--wait", type=float, default=60, help="seconds for workers to connect; %(default)s"
    )
    parser.add_argument("--worker", type=_address, help="be a worker of the master at HOST:PORT")
    parser.add_argument("--check", action="store_true", help="check the options and exit")
    parser.add_argument("--web-host", default="127.0.0.1", help="Locust's page; %(default)s")
    parser.add_argument("--web-port", default=8089, type=int, help="Locust's page; %(default)s")
    return parser


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MOST_WORKERS:
        raise argparse.ArgumentTypeError(
            f"WORKERS={text!r}: must be a whole number from 1 to {MOST_WORKERS}"
        )
    return int(text)


def _address(text: str) -> str:
    if not re.fullmatch(r"[^:/]+:[0-9]{1,5}", text):
        raise argparse.ArgumentTypeError(f"{text!r}: must be HOST:PORT, such as 0.0.0.0:5557")
    return text


def _complain(message: str, code: int) -> int:
    print(f"loadtest: {message}", file=sys.stderr)
    return code


sys.exit(main())
