"""Raw frames of a live exchange into a file that `sim --replay` serves.

Each line is the receive time in nanoseconds, a space, and the JSON as it came. REST answers (`exchangeInfo`, and
`depth` with its symbol added) are lines without `stream`. `@bookTicker` is recorded beside the streams that books
are made of: it is an independent check of their best prices.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import httpx
import msgspec
from loguru import logger

from vibe_orderbook_mcp.model.errors import ConfigError, ExchangeError, ExchangeUnavailable, StorageError, SymbolUnknown
from vibe_orderbook_mcp.process.outbound import check, client_options, route
from vibe_orderbook_mcp.process.output_file import check_output, open_output
from vibe_orderbook_mcp.process.pace import delays
from vibe_orderbook_mcp.process.unpacking import ACCEPTED
from vibe_orderbook_mcp.process.unreachable import unreachable
from vibe_orderbook_mcp.process.web import ANSWER_SECS, UNREACHED, read_bounded
from vibe_orderbook_mcp.venues.binance.wire import BinanceSpot
from vibe_orderbook_mcp.venues.connection import Connection

SNAPSHOT_LEVELS = 5000
STREAMS = ("depth@100ms", "aggTrade", "trade", "bookTicker")
FLUSH_EVERY_SECS = 1.0  # the most that a killed process loses; a .gz then ends after a whole block


async def record_to(
    path: Path,
    symbols: tuple[str, ...],
    rest_url: str,
    ws_url: str,
    *,
    seconds: float | None = None,
    force: bool = False,
) -> int:
    """Until cancelled or `seconds` have passed. Returns the number of frames. Raises ConfigError, ExchangeUnavailable,
    SymbolUnknown, and StorageError when the file cannot be written any more.

    A connection that breaks is opened again and new depth answers are recorded, so a replay can resync there too.
    The file is made with the first frame: without a frame there is no file. Only `force` replaces an existing one, and
    only then.
    """
    check(rest_url, ws_url)
    check_output(path, force=force)
    recording = _Recording(path, symbols, rest_url, ws_url, force=force)
    # A stop is the usual end of a recording: the frames so far are the result.
    try:
        try:
            with suppress(TimeoutError, asyncio.CancelledError):
                await asyncio.wait_for(recording.run(), seconds)
        finally:
            recording.close()
    except OSError as error:
        raise StorageError(f"{path} cannot be written ({error.strerror}).") from error
    return recording.frames


class _Recording:
    def __init__(self, path: Path, symbols: tuple[str, ...], rest_url: str, ws_url: str, *, force: bool) -> None:
        self._path = path
        self._force = force
        self._file: BinaryIO | None = None
        self._waiting: list[bytes] = []  # lines from before the first frame
        self._symbols = symbols
        self._rest_url = rest_url
        self._ws_url = ws_url
        self._venue = BinanceSpot()
        self._flush_failure: OSError | None = None
        self.frames = 0

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    async def run(self) -> None:
        flushing = asyncio.create_task(self._flush())
        try:
            await self._receive()
        finally:
            flushing.cancel()
            await asyncio.gather(flushing, return_exceptions=True)

    async def _flush(self) -> None:
        """Flush, so that written frames are readable also while the symbols are quiet."""
        while self._flush_failure is None:
            await asyncio.sleep(FLUSH_EVERY_SECS)
            try:
                if self._file is not None:
                    self._file.flush()
            except OSError as error:  # the next line will report the error
                self._flush_failure = error

    async def _receive(self) -> None:
        streams = [f"{symbol.lower()}@{stream}" for symbol in self._symbols for stream in STREAMS]
        if len(streams) > (most := self._venue.traits.streams_in_url):
            raise ConfigError(f"At most {most // len(STREAMS)} symbols can be recorded into one file.")
        async with httpx.AsyncClient(
            base_url=self._rest_url,
            timeout=10.0,
            headers={"Accept-Encoding": ACCEPTED},
            **client_options(self._rest_url),
        ) as http:
            self._write(await self._exchange_info(http))
            connection = await Connection.open(self._venue, self._ws_url, streams)
            while True:
                await self._record(connection, http)
                logger.warning("The connection ended; opening another")
                connection = await self._open_again(streams)

    async def _exchange_info(self, http: httpx.AsyncClient) -> bytes:
        """One answer for all symbols, combined from one each, because a request for all does not name a wrong one."""
        answers = [await _get(http, "/api/v3/exchangeInfo", symbol) for symbol in self._symbols]
        try:
            infos: list[dict[str, Any]] = [msgspec.json.decode(answer) for answer in answers]
            listed = [entry for info in infos for entry in info["symbols"]]
        except (msgspec.MsgspecError, UnicodeDecodeError, KeyError, TypeError) as error:
            raise ExchangeUnavailable("The exchange sent symbol information that cannot be read.") from error
        return msgspec.json.encode({**infos[0], "symbols": listed})

    async def _record(self, connection: Connection, http: httpx.AsyncClient) -> None:
        """Until the connection ends."""
        snapshots = asyncio.create_task(self._snapshots(http))
        try:
            async for raw in connection.frames():
                if self._file is None:
                    self._begin()
                self._write(raw)
                self.frames += 1
        finally:
            snapshots.cancel()
            await asyncio.gather(snapshots, return_exceptions=True)
            await connection.close()

    async def _open_again(self, streams: list[str]) -> Connection:
        """A recording of hours must not end because the exchange is away for minutes."""
        for delay in delays():
            await asyncio.sleep(delay)
            try:
                return await Connection.open(self._venue, self._ws_url, streams)
            except ExchangeUnavailable as error:
                logger.warning("Cannot connect to the exchange's stream: {}", error)
        raise AssertionError("delays do not end")

    async def _snapshots(self, http: httpx.AsyncClient) -> None:
        """Record depth answers after the stream has begun, so that each is within it."""
        for symbol in self._symbols:
            for delay in delays():
                try:
                    raw = await _get(http, "/api/v3/depth", symbol, limit=SNAPSHOT_LEVELS)
                except ExchangeError as error:
                    logger.warning("No depth answer of {} yet: {}", symbol, error)
                    await asyncio.sleep(delay)
                else:
                    self._write(b'{"symbol":' + msgspec.json.encode(symbol) + b"," + raw.lstrip()[1:])
                    logger.info("Recorded the book of {}", symbol)
                    break

    def _begin(self) -> None:
        self._file = open_output(self._path, force=self._force)
        self._file.writelines(self._waiting)
        self._waiting.clear()

    def _write(self, raw: bytes) -> None:
        if self._flush_failure is not None:
            raise self._flush_failure
        line = b"%d %s\n" % (time.time_ns(), raw if b"\n" not in raw else raw.replace(b"\n", b" "))
        if self._file is None:
            self._waiting.append(line)
        else:
            self._file.write(line)


async def _get(http: httpx.AsyncClient, path: str, symbol: str, **query: int) -> bytes:
    """The answer, unchanged. Raises SymbolUnknown, ExchangeUnavailable."""
    try:
        async with (
            asyncio.timeout(ANSWER_SECS),
            http.stream("GET", path, params={"symbol": symbol, **query}) as response,
        ):
            body = await read_bounded(response)
    except TimeoutError as error:
        raise ExchangeUnavailable(f"The exchange did not answer in time at {route(str(http.base_url))}.") from error
    except UNREACHED as error:
        raise ExchangeUnavailable(unreachable("The exchange", str(http.base_url), error)) from error
    status = response.status_code
    if status == httpx.codes.BAD_REQUEST:
        raise SymbolUnknown(symbol)
    if status != httpx.codes.OK:
        raise ExchangeUnavailable(f"The exchange answered HTTP {status} to {path}.", status=status)
    return body
