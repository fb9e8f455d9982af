"""A WSGI app that is careless about forks: it creates at import what each worker should create.

``CONNECT_TO`` (host:port), ``EVENT_LOOP`` and ``TIMER`` (the library that starts it) say what it
opens or starts at import.
"""

import asyncio
import io
import multiprocessing
import os
import random
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

try:
    import numpy
except ImportError:  # it comes with the lab
    draw = random.random
else:
    draw = numpy.random.random
draw()  # seeds the generator, here and not in each worker

if where := os.environ.get("CONNECT_TO"):
    host, _, port = where.rpartition(":")
    CONNECTION = socket.create_connection((host, int(port)))
if os.environ.get("EVENT_LOOP"):
    LOOP = asyncio.new_event_loop()
if library := os.environ.get("TIMER"):
    timer = threading.Timer(3600, lambda: None)
    timer.daemon = True
    timer.function.__module__ = library
    timer.start()
SYSLOG = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
SYSLOG.connect(("127.0.0.1", 514))


def file(environ: dict[str, Any]) -> Any:
    """A file that was read up to its second line, wrapped as Werkzeug's send_file does."""
    opened = Path(__file__).open("rb")  # noqa: SIM115 - the server closes it
    opened.readline()
    opened.seek(4)
    if wrapper := environ.get("wsgi.file_wrapper"):
        return wrapper(opened, 8192)
    return iter(lambda: opened.read(8192), b"")


def random_numbers(_environ: dict[str, Any]) -> list[bytes]:
    return [f"{os.getpid()} {random.random()} {draw()}".encode()]


def python(_environ: dict[str, Any]) -> list[bytes]:
    command = [sys.executable, "-c", "print('a Python')"]
    return [subprocess.run(command, capture_output=True, timeout=20, check=True).stdout]


def encoding(_environ: dict[str, Any]) -> list[bytes]:
    with Path(__file__).open() as file:
        return [f"{file.encoding} {sys.getfilesystemencoding()}".lower().encode()]


def spawn(_environ: dict[str, Any]) -> list[bytes]:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return [str(pool.map(abs, [-3])).encode()]


def linger(_environ: dict[str, Any]) -> Any:
    """Start a program that outlives the request and inherits what it can, and stream an answer."""
    subprocess.Popen(["sleep", "25"], close_fds=False, stdout=subprocess.DEVNULL)
    return (b"x" * 1000 for _ in range(100))


def application(environ: dict[str, Any], start_response: Any) -> Any:
    view = {"/file": file, "/random": random_numbers, "/python": python, "/spawn": spawn,
            "/linger": linger, "/encoding": encoding}.get(environ["PATH_INFO"])  # fmt: skip
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    return view(environ) if view else io.BytesIO(b"fine")
