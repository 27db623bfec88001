"""A server that says exactly the given bytes, for answers that no proper server gives."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator


def http(status: str, body: bytes = b"{}", *headers: str, length: int | None = None) -> bytes:
    """A whole HTTP response; `length` lies about the body's."""
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}", *headers, "", ""]
    return "\r\n".join(head).encode() + body


class Wire:
    def __init__(self) -> None:
        self.url = ""
        self.answers: list[bytes] = []  # the last one is given again and again
        self.requests: list[str] = []
        self.open: dict[asyncio.StreamWriter, asyncio.Task[None]] = {}
        self.drip_secs = 0.0  # a pause after each byte; the connection then never ends by itself

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.open[writer] = task
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            head = await reader.readuntil(b"\r\n\r\n")
            self.requests.append(head.decode().splitlines()[0])
            answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            if self.drip_secs:
                for byte in answer:
                    writer.write(bytes([byte]))
                    await writer.drain()
                    await asyncio.sleep(self.drip_secs)
            writer.write(answer)
            await writer.drain()
        writer.close()


@contextlib.asynccontextmanager
async def wire(*answers: bytes) -> AsyncIterator[Wire]:
    saying = Wire()
    saying.answers = list(answers)
    server = await asyncio.start_server(saying.serve, "127.0.0.1", 0)
    saying.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield saying
    finally:
        server.close()
        for task in saying.open.values():
            task.cancel()
        await asyncio.gather(*saying.open.values())
        for writer in saying.open:
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
