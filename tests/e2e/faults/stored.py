"""The content of the store, compared with the simulated exchange's own memory."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

from vibe_orderbook_mcp.model.events import Trade
from vibe_orderbook_mcp.model.rows import BookTop
from vibe_orderbook_mcp.sim import SimExchange
from vibe_orderbook_mcp.sim.past import AggRow
from vibe_orderbook_mcp.sim.rules import Rules
from vibe_orderbook_mcp.store.history import History


class StoredTrades(NamedTuple):
    """One symbol's trades in the store."""

    held: int
    missing: int  # missing ids between the first and the last stored one
    wrong: int  # trades that differ from the exchange's


async def stored_trades(history: History, sim: SimExchange, symbol: str) -> StoredTrades:
    venue = sim.venue.states[symbol]
    held = await history.trades(symbol, 0, 2**53)
    if not held:
        return StoredTrades(0, 0, 0)
    first, last = held[0].agg_id, held[-1].agg_id
    truth = {row.agg_id: row for row in venue.trades.from_id(first, last - first + 1)}
    wrong = sum(trade != _as_trade(truth[trade.agg_id], venue.rules) for trade in held)
    missing = sum(after.agg_id - before.agg_id - 1 for before, after in pairwise(held))
    return StoredTrades(len(held), missing, wrong)


def _as_trade(row: AggRow, rules: Rules) -> Trade:
    price, size = float(rules.price.text(row.price)), float(rules.size.text(row.size))
    return Trade(row.agg_id, row.time_ms, price, size, row.first_trade_id, row.last_trade_id, row.buyer_is_maker)


class StoredBooks(NamedTuple):
    """One symbol's tops of book in the store."""

    seconds: list[int]
    checked: int
    wrong: int


async def stored_books(history: History, sim: SimExchange, symbol: str, since_sec: int = 0) -> StoredBooks:
    """Those that the exchange remembers (a minute) are compared; `seconds` are all."""
    checked = wrong = 0
    held = await history.snapshots(symbol, since_sec, 2**40)
    for _, top in held:
        truth = sim.truth(symbol, top.last_update_id, max(len(top.bids), len(top.asks)))
        if truth is not None:
            checked += 1
            wrong += not _is_true(top, truth)
    return StoredBooks([second for second, _ in held], checked, wrong)


def _is_true(top: BookTop, truth: tuple[list[tuple[str, str]], list[tuple[str, str]]]) -> bool:
    for mine, theirs in zip((top.bids, top.asks), truth, strict=True):
        if list(mine) != [(float(price), float(size)) for price, size in theirs[: len(mine)]]:
            return False
    return True
