"""An open loop of requests: each is sent when it is due, whether or not earlier ones have ended."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass
class OpenLoop:
    """GET *url* *rate* times a second, each over a connection of its own, until the block ends.

    A request that waits longer than 30 s has failed.
    """

    url: str
    rate: float
    seconds: list[float] = field(default_factory=list)  # how long each good one took
    failed: list[str] = field(default_factory=list)
    sent: int = 0

    def __enter__(self) -> OpenLoop:
        self._over = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    @property
    def longest_s(self) -> float:
        return max(self.seconds)

    def __str__(self) -> str:
        return f"{len(self.failed)} of {self.sent} failed, longest wait {self.longest_s:.3f} s"

    async def _run(self) -> None:
        begun = time.monotonic()
        pending: set[asyncio.Task[None]] = set()
        while not self._over.is_set():
            due = begun + self.sent / self.rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            task = asyncio.create_task(self._ask(due))
            self.sent += 1
            pending.add(task)
            task.add_done_callback(pending.discard)
        await asyncio.gather(*pending)

    async def _ask(self, due: float) -> None:
        at = f"{time.time():.3f}"
        try:
            async with asyncio.timeout(30):
                status = await self._status()
        except (OSError, asyncio.IncompleteReadError, ValueError, IndexError) as error:
            self.failed.append(f"{at} after {time.monotonic() - due:.3f} s: {error!r}")
        else:
            took = time.monotonic() - due
            if status == 200:
                self.seconds.append(took)
            else:
                self.failed.append(f"{at} after {took:.3f} s: {status}")

    async def _status(self) -> int:
        parts = urlsplit(self.url)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        try:
            head = f"GET {parts.path or '/'} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
            writer.write(f"{head}Connection: close\r\n\r\n".encode())
            answer = await reader.read(-1)
            return int(answer.split(maxsplit=2)[1])
        finally:
            writer.close()
