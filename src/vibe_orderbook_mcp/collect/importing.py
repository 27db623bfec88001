"""`import trades`: Binance's public files into a data directory, through `History` like all other data."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Final

from vibe_orderbook_mcp.model.errors import ConfigError, StorageError, StorageLocked
from vibe_orderbook_mcp.model.events import Trade
from vibe_orderbook_mcp.model.rows import TradeBatch
from vibe_orderbook_mcp.model.symbol import SymbolSpec
from vibe_orderbook_mcp.store.history import TRADES_A_BATCH, History
from vibe_orderbook_mcp.venues.binance.trade_files import TradeFile

DAY_MS: Final = 86_400_000


async def import_trades(
    data_path: Path, files: Sequence[Path], symbol: str, *, cap_mb: int, retention_days: int
) -> None:
    """Store all trades of the files that are not stored yet; print their number. Raises ConfigError, StorageError.

    Trades stored before an error stay, and a second import continues from there.
    """
    sources = [TradeFile(path) for path in files]
    for source in sources:
        if not source.path.is_file():
            raise ConfigError(f"There is no file {source.path}.")
        if source.symbol not in (None, symbol):
            raise ConfigError(f"{source.path.name} holds trades of {source.symbol}, and --symbol is {symbol}.")
    try:
        history = await History.open(data_path, cap_mb=cap_mb, retention_days=retention_days)
    except StorageLocked as error:
        raise StorageLocked(
            "Another process records into this data directory: stop it, import, and start it again. It keeps the "
            "imported trades."
        ) from error
    try:
        for source in sources:
            await _import_file(history, source, symbol, retention_days)
    finally:
        await history.close()


async def _import_file(history: History, source: TradeFile, symbol: str, retention_days: int) -> None:
    stored = skipped = 0
    oldest_ms: int | None = None
    trades = source.trades()
    stored_spec = await history.spec(symbol)
    market = await _SameMarket.of(history, symbol)
    while batch := tuple(_some(trades)):
        market.check(source.path, batch)
        spec = stored_spec or _spec_of(symbol, source)
        result = await history.add_trades(TradeBatch(spec, batch))
        if symbol in result.failed:
            raise StorageError(
                f"Trades {batch[0].agg_id} to {batch[-1].agg_id} cannot be stored: {result.failed[symbol]}"
            )
        stored += result.trades.get(symbol, 0)
        skipped += result.skipped_trades.get(symbol, 0)
        first_ms = min(trade.time_ms for trade in batch)
        oldest_ms = first_ms if oldest_ms is None else min(oldest_ms, first_ms)
    sys.stdout.write(f"Imported {stored} trades of {symbol} from {source.path.name}; {skipped} were stored already\n")
    if oldest_ms is not None and oldest_ms < time.time() * 1000 - retention_days * DAY_MS:
        sys.stdout.write(
            f"Some are older than VIBE_RETENTION_DAYS ({retention_days}): they are dropped when their files "
            "are that old\n"
        )


def _some(trades: Iterator[Trade]) -> Iterator[Trade]:
    return islice(trades, TRADES_A_BATCH)


class _SameMarket:
    """Oldest and newest stored trade. In one market ids and times rise together."""

    def __init__(self, oldest: Trade | None, newest: Trade | None) -> None:
        self._oldest, self._newest = oldest, newest

    @classmethod
    async def of(cls, history: History, symbol: str) -> _SameMarket:
        span = await history.trade_span(symbol)
        if span is None:
            return cls(None, None)
        first = await history.trades(symbol, span[0], span[0] + 1)
        last = await history.trades(symbol, span[1], span[1] + 1)
        return cls(first[0] if first else None, last[-1] if last else None)

    def check(self, path: Path, batch: Sequence[Trade]) -> None:
        """Raises ConfigError for trades of another market than the stored ones."""
        for trade in (batch[0], batch[-1]):
            newer = self._newest is not None and trade.agg_id > self._newest.agg_id
            older = self._oldest is not None and trade.agg_id < self._oldest.agg_id
            if (newer and self._newest is not None and trade.time_ms < self._newest.time_ms) or (
                older and self._oldest is not None and trade.time_ms > self._oldest.time_ms
            ):
                raise ConfigError(
                    f"{path.name} holds trades of another market: trade {trade.agg_id} does not fit the ids and times "
                    "of the stored trades."
                )


def _spec_of(symbol: str, source: TradeFile) -> SymbolSpec:
    """A spec from the file's numbers, until the exchange describes the symbol to a server."""
    tick, step = (_step(places) for places in (source.price_places, source.size_places))
    return SymbolSpec(symbol=symbol, base_asset="", quote_asset="", tick_size=tick, step_size=step)


def _step(places: tuple[int, int]) -> Decimal:
    printed, significant = places
    return Decimal(1).scaleb(-significant).quantize(Decimal(1).scaleb(-max(printed, significant)))
