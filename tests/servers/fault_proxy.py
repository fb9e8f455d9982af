"""A TCP proxy in front of Redis that misbehaves on command, as a real server cannot be made to."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Coroutine
from contextlib import suppress
from itertools import count
from types import TracebackType
from typing import Any

from app.redis_client import RedisClient


class FaultProxy:
    """Listens on a port of 127.0.0.1 and forwards to a unix socket.

    `mode`: "pass", "stall" (accept and never answer), "refuse" (do not listen), "reset" (reset each
    connection at its first request) or "cut" (reset once, in the middle of an answer). `delay`:
    seconds by which each answer is late.
    """

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream
        self.mode = "pass"
        self.delay = 0.0
        # Keeps the port reserved, also while the proxy refuses connections.
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        return f"redis://app@127.0.0.1:{self.port}/0"

    def __enter__(self) -> FaultProxy:
        self._thread.start()
        self._run(self._listen())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._run(self._stop_listening())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._socket.close()

    def become(self, mode: str, *, delay: float = 0.0) -> None:
        """Change the mode. "refuse" also closes the open connections."""
        self._run(self._become(mode, delay))

    def cut_answer(self, client: RedisClient, trip: int = 1) -> None:
        """Cut the answer to one of the next round trips of *client*, the first one being 1.

        Redis has run the commands by then: it knows all scripts of the client.
        """
        client.execute("PING")  # connects
        for script in client._scripts.values():
            client.execute("SCRIPT", "LOAD", script)
        round_trip, trips = client._round_trip, count(1)

        def cut(*arguments: Any) -> list[Any]:
            if next(trips) == trip:
                self.become("cut")
            return round_trip(*arguments)

        client._round_trip = cut  # type: ignore[method-assign]

    def _run(self, job: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(job, self._loop).result(10)

    async def _become(self, mode: str, delay: float) -> None:
        self.delay = delay
        if (mode == "refuse") != (self.mode == "refuse"):
            await (self._stop_listening() if mode == "refuse" else self._listen())
        self.mode = mode

    async def _listen(self) -> None:
        listening = self._socket if self._server is None else self._bound_again()
        self._server = await asyncio.start_server(self._serve, sock=listening)

    def _bound_again(self) -> socket.socket:
        listening = socket.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", self.port))
        return listening

    async def _stop_listening(self) -> None:
        assert self._server is not None
        self._server.close()
        # Also those that forward: when one direction fails, gather() leaves the other alone.
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(
        self, from_client: asyncio.StreamReader, to_client: asyncio.StreamWriter
    ) -> None:
        with suppress(OSError, asyncio.CancelledError):
            from_redis, to_redis = await asyncio.open_unix_connection(self.upstream)
            await asyncio.gather(
                self._forward(from_client, to_redis, to_client, answers=False),
                self._forward(from_redis, to_client, to_client, answers=True),
            )
        to_client.close()

    async def _forward(
        self,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        client: asyncio.StreamWriter,
        *,
        answers: bool,
    ) -> None:
        try:
            while chunk := await source.read(65536):
                if self.mode == "reset" and not answers:
                    client.transport.abort()
                if self.mode == "cut" and answers:
                    self.mode = "pass"
                    sink.write(chunk[: len(chunk) // 2])
                    await sink.drain()
                    client.transport.abort()
                while self.mode == "stall":
                    await asyncio.sleep(0.01)
                if answers and self.delay:
                    await asyncio.sleep(self.delay)
                sink.write(chunk)
                await sink.drain()
        finally:
            sink.close()
