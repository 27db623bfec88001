"""Quiet markets second by second, and watches that have seen enough of them."""

from __future__ import annotations

import random
from collections.abc import Iterable
from copy import deepcopy
from functools import cache
from math import exp
from typing import Any

import msgspec

from tests.analytics.books import BTC
from tests.analytics.rows import row
from vibe_orderbook_mcp.analytics.anomalies.watch import SymbolWatch
from vibe_orderbook_mcp.analytics.findings import Finding
from vibe_orderbook_mcp.model.rows import SecondRow, SideFlow
from vibe_orderbook_mcp.seconds.wall_watch import LevelEvidence

WARM_SECS = 3_800
QUIET = LevelEvidence(has_limits=True)


def quiet_rows(count: int, *, start: int = 0, seed: int = 1, phi: float = 0.9) -> list[SecondRow]:
    """About 40 updates a second as an AR(1) of the logarithm, a mid that wanders by ticks, steady depth."""
    rng = random.Random(f"{seed}:{start}")
    rate, mid, rows = 0.0, 60_000.0, []
    for second in range(start, start + count):
        rate = phi * rate + (1 - phi * phi) ** 0.5 * rng.gauss(0, 0.4)
        mid += 0.01 * rng.choice([-1, 0, 0, 1])
        depth = exp(rng.gauss(0, 0.1))
        rows.append(
            quiet_row(second, ids=int(40 * exp(rate)), mid=round(mid, 2), depth=depth, trades=rng.randint(3, 9))
        )
    return rows


def quiet_row(
    second: int, *, ids: int = 40, mid: float = 60_000.0, depth: float = 1.0, trades: int = 5, **fields: Any
) -> SecondRow:
    flow = SideFlow(added=5.0, cancelled=4.0, add_events=9, cancel_events=9)
    quote = tuple(band * depth for band in (1e5, 2e5, 5e5, 1e6, 2e6))
    values: dict[str, Any] = {
        "mid": mid,
        "best_bid": mid - 0.005,
        "best_ask": mid + 0.005,
        "spread_mean": 0.01,
        "events": 10,
        "rows": ids // 2,
        "ids": ids,
        "bid": flow,
        "ask": flow,
        "bid_band_quote": quote,
        "ask_band_quote": quote,
        "buy_volume": 0.1,
        "sell_volume": 0.1,
        "buy_quote": 6_000.0,
        "sell_quote": 6_000.0,
        "buy_trades": trades,
        "sell_trades": trades,
    }
    return row(second, **{**values, **fields})


def changed(rows: Iterable[SecondRow], **fields: Any) -> list[SecondRow]:
    return [msgspec.structs.replace(each, **fields) for each in rows]


def bookless(second: int, **fields: Any) -> SecondRow:
    """A second that ends without a two-sided book; trades go on."""
    none = dict.fromkeys(("mid", "best_bid", "best_ask", "spread_mean"))
    bands = dict.fromkeys(("bid_band_quote", "ask_band_quote"), ())
    (found,) = changed([quiet_row(second)], **{"covered_ms": 0, **none, **bands, **fields})
    return found


@cache
def _warm() -> SymbolWatch:
    watch = SymbolWatch(BTC)
    for each in quiet_rows(WARM_SECS):
        watch.second(each, QUIET)
    return watch


def warm() -> SymbolWatch:
    """Has seen an hour and a bit of a quiet market; the next second is WARM_SECS."""
    return deepcopy(_warm())


def feed(watch: SymbolWatch, rows: Iterable[SecondRow], evidence: LevelEvidence = QUIET) -> list[Finding]:
    return [finding for each in rows for finding in watch.second(each, evidence)]
