"""Raw frames of a live exchange into a file that `sim --replay` serves.

Each line is the receive time in nanoseconds, a space, and the JSON as it came. REST answers (`exchangeInfo`, and
`depth` with its symbol added) are lines without `stream`. `@bookTicker` is recorded beside the streams that books
are made of: it is an independent truth for their best prices.
"""

from __future__ import annotations

import asyncio
import gzip
import time
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, cast

import httpx
import msgspec
from loguru import logger

from vibe_orderbook_mcp.binance.backoff import delays
from vibe_orderbook_mcp.binance.connection import URL_STREAMS, Connection
from vibe_orderbook_mcp.errors import ConfigError, ExchangeUnavailable

SNAPSHOT_LEVELS = 5000
STREAMS = ("depth@100ms", "aggTrade", "trade", "bookTicker")


async def record_to(
    path: Path, symbols: tuple[str, ...], rest_url: str, ws_url: str, *, seconds: float | None = None
) -> int:
    """Until cancelled or `seconds` have passed. Returns the number of frames. Raises ConfigError, ExchangeUnavailable.

    A connection that breaks is opened again and new depth answers are recorded, so a replay can resync there too.
    """
    try:
        file = cast("BinaryIO", gzip.GzipFile(path, "wb") if path.suffix == ".gz" else path.open("wb"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be written ({error.strerror}).") from error
    recording = _Recording(file, symbols, rest_url, ws_url)
    # Being told to stop is the ordinary end of a recording: what was received so far is the result.
    with file, suppress(TimeoutError, asyncio.CancelledError):
        await asyncio.wait_for(recording.run(), seconds)
    return recording.frames


class _Recording:
    def __init__(self, file: BinaryIO, symbols: tuple[str, ...], rest_url: str, ws_url: str) -> None:
        self._file = file
        self._symbols = symbols
        self._rest_url = rest_url
        self._ws_url = ws_url
        self.frames = 0

    async def run(self) -> None:
        streams = [f"{symbol.lower()}@{stream}" for symbol in self._symbols for stream in STREAMS]
        if len(streams) > URL_STREAMS:
            raise ConfigError(f"At most {URL_STREAMS // len(STREAMS)} symbols can be recorded into one file.")
        async with httpx.AsyncClient(base_url=self._rest_url, timeout=10.0) as http:
            for symbol in self._symbols:
                self._write(await _get(http, "/api/v3/exchangeInfo", symbol=symbol))
            waits = delays()
            while True:
                connection = await Connection.open(self._ws_url, streams)
                try:
                    async with asyncio.TaskGroup() as group:
                        snapshots = group.create_task(self._snapshots(http))
                        async for raw in connection.frames():
                            self._write(raw)
                            self.frames += 1
                        snapshots.cancel()
                finally:
                    await connection.close()
                logger.warning("The connection ended; opening another")
                await asyncio.sleep(next(waits))

    async def _snapshots(self, http: httpx.AsyncClient) -> None:
        """After the stream has begun, so that each answer falls into it."""
        for symbol in self._symbols:
            raw = await _get(http, "/api/v3/depth", symbol=symbol, limit=SNAPSHOT_LEVELS)
            self._write(b'{"symbol":' + msgspec.json.encode(symbol) + b"," + raw.lstrip()[1:])

    def _write(self, raw: bytes) -> None:
        line = raw if b"\n" not in raw else raw.replace(b"\n", b" ")
        self._file.write(b"%d %s\n" % (time.time_ns(), line))


async def _get(http: httpx.AsyncClient, path: str, **query: str | int) -> bytes:
    try:
        response = await http.get(path, params=query)
    except httpx.HTTPError as error:
        raise ExchangeUnavailable(f"The exchange cannot be reached ({type(error).__name__}).") from error
    if response.status_code != httpx.codes.OK:
        raise ExchangeUnavailable(
            f"The exchange answered HTTP {response.status_code} to {path}.", status=response.status_code
        )
    return response.content
