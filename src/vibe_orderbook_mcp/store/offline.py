"""`export` and `status`: read a data directory from the command line, also while a server writes it."""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Literal, cast

from rich.console import Console
from rich.table import Table

from vibe_orderbook_mcp.model.errors import ConfigError, NothingRecorded, StorageError
from vibe_orderbook_mcp.process.output_file import check_output, whole_output
from vibe_orderbook_mcp.store.disk.lock import is_recorded_into
from vibe_orderbook_mcp.store.export import Format, export_snapshots, export_trades
from vibe_orderbook_mcp.store.history import History
from vibe_orderbook_mcp.store.rescue import set_aside
from vibe_orderbook_mcp.store.status import StoredSpan, StoreStatus, SymbolStatus, TradeSpan, store_status

LAST_SECOND = 9_999_999_999


async def export_to(
    data_path: Path,
    kind: Literal["trades", "snapshots"],
    symbol: str,
    start: str | None,
    end: str | None,
    fmt: Format,
    output: Path | None,
    *,
    force: bool = False,
) -> int:
    """Rows to a file or stdout. Returns their number. Raises ConfigError, StorageError.

    The file gets its name when all rows are written; only `force` replaces an existing one.
    """
    start_ms = 0 if start is None else parse_time_ms("--start", start)
    end_ms = LAST_SECOND * 1000 if end is None else parse_time_ms("--end", end)
    if end_ms <= start_ms:
        raise ConfigError("--end must be after --start.")
    if output is not None:
        check_output(output, force=force)  # before the slow part
    async with _reading(data_path) as history:
        if await history.spec(symbol) is None:
            raise StorageError(f"Nothing is stored of {symbol}.")
        with _stdout() if output is None else whole_output(output, force=force) as sink:
            if kind == "trades":
                return await export_trades(history, symbol, start_ms, end_ms, fmt, sink)
            return await export_snapshots(history, symbol, start_ms // 1000, -(-end_ms // 1000), fmt, sink)


async def print_status(data_path: Path) -> None:
    """A table for people. Raises StorageError, and ConfigError if standard output is closed."""
    _need_stdout()
    async with _reading(data_path) as history:
        found = await store_status(history)
    is_recording = is_recorded_into(data_path)
    now = int(time.time())
    console = Console(width=None if sys.stdout.isatty() else 160)
    size_mb = found.disk_bytes / 1e6
    console.print(f"{data_path}: schema {found.schema_version}, {size_mb:.1f} MB on disk", highlight=False)
    console.print(_newest(found, now, is_recording=is_recording), highlight=False)
    table = Table("symbol", "what", "from (UTC)", "to (UTC)", "count", "gaps", "missing")
    for item in found.symbols:
        for row in _lines(item, now if is_recording else None):
            table.add_row(*row)
    console.print(table if found.symbols else "Nothing is stored yet.")
    for name in set_aside(data_path):
        console.print(f"Damaged history was set aside in {data_path / name}", highlight=False)


@asynccontextmanager
async def _reading(data_path: Path) -> AsyncIterator[History]:
    try:
        history = await History.open_secondary(data_path)
    except NothingRecorded as error:
        raise StorageError(f"Nothing has been recorded: {data_path} {error.found}.") from error
    except StorageError as error:
        raise StorageError(f"{data_path}: {error}") from error
    try:
        yield history
    finally:
        await history.close()


def parse_time_ms(name: str, text: str) -> int:
    """Unix seconds, or ISO 8601; a time without a zone is UTC. Raises ConfigError."""
    with suppress(ValueError, OverflowError):
        seconds = float(text)
        if 0 <= seconds <= LAST_SECOND:
            return round(seconds * 1000)
    with suppress(ValueError, OverflowError):
        moment = datetime.fromisoformat(text)
        return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
    raise ConfigError(f"{name} is {text[:40]!r}; it must be unix seconds or a time such as 2026-11-23T12:00:00.")


def _newest(found: StoreStatus, now: int, *, is_recording: bool | None) -> str:
    """The age of the newest second of any symbol, and whether a process records."""
    newest = max((item.rows.last for item in found.symbols if item.rows is not None), default=None)
    age = "" if newest is None else f"Newest second: {_utc(newest * 1000)}, {max(0, now - newest - 1):,} s ago. "
    if is_recording is None:
        return age + "It is unknown whether a process records here now."
    if not is_recording:
        return age + "No process records here now."
    return age + "Another process records here now: an open gap counts up to now."


def _lines(item: SymbolStatus, until: int | None) -> list[tuple[str, ...]]:
    """`until`: the second up to which an open gap counts, if a process records."""
    out: list[tuple[str, ...]] = []
    for what, span in (("snapshots", item.snapshots), ("rows", item.rows)):
        if span is not None:
            out.append((item.symbol, what, *_seconds(span if until is None else span.until(until))))
    if item.trades is not None:
        out.append((item.symbol, "trades", *_trades(item.trades)))
    if item.events:
        out.append((item.symbol, "findings", "", "", f"{item.events:,}", "", ""))
    return out


def _seconds(span: StoredSpan) -> tuple[str, ...]:
    return (
        _utc(span.first * 1000),
        _utc(span.last * 1000),
        f"{span.count:,}",
        str(span.gaps),
        f"{span.missing_secs:,} s",
    )


def _trades(span: TradeSpan) -> tuple[str, ...]:
    return (
        _utc(span.first_ms),
        _utc(span.last_ms),
        f"{span.count:,}",
        str(span.holes),
        "unknown" if span.missing_ids is None else f"{span.missing_ids:,} ids",
    )


def _utc(millis: int) -> str:
    return f"{datetime.fromtimestamp(millis / 1000, UTC):%Y-%m-%d %H:%M:%S}"


def _need_stdout() -> None:
    if sys.stdout is None:
        raise ConfigError("Standard output is closed, so there is nowhere to write to.")


@contextmanager
def _stdout() -> Iterator[BinaryIO]:
    _need_stdout()
    with open(sys.stdout.fileno(), "wb", closefd=False) as sink:
        yield cast("BinaryIO", sink)
