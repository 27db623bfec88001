"""An HTTP server of a venue for tests: a function answers, and what was asked for is remembered."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from urllib.parse import parse_qs, urlsplit

Answering = Callable[[str, dict[str, str]], bytes]  # path and query


class Answered:
    def __init__(self, answer: Answering) -> None:
        self.url = ""
        self.answer = answer
        self.raw: bytes | None = None  # a whole HTTP response, instead
        self.asked: list[str] = []
        self._open: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                while True:
                    target = (await reader.readuntil(b"\r\n\r\n")).split()[1].decode()
                    self.asked.append(target)
                    writer.write(self._response(target))
                    await writer.drain()
                    if self.raw is not None:
                        break  # its length may be wrong
        finally:
            writer.close()

    def _response(self, target: str) -> bytes:
        if self.raw is not None:
            return self.raw
        url = urlsplit(target)
        body = self.answer(url.path, {name: values[0] for name, values in parse_qs(url.query).items()})
        return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)

    async def aclose(self) -> None:
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)


@contextlib.asynccontextmanager
async def answering(answer: Answering) -> AsyncIterator[Answered]:
    serving = Answered(answer)
    server = await asyncio.start_server(serving.serve, "127.0.0.1", 0)
    serving.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield serving
    finally:
        server.close()
        await serving.aclose()
