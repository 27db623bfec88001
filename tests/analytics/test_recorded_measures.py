"""The five measures over recorded markets equal a slow second computation from all rows and all trades.

The recordings are ten minutes long and verdicts need an hour: each is played six times, one after the other, with a
break between two.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from math import log, log2, sqrt
from statistics import median

import msgspec
import pytest

from tests.market.recordings import DEPTH_LIMIT, YEAR_2024, recorded
from tests.recordings import needs_recordings
from vibe_orderbook_mcp.analytics.anomalies.watch import SymbolWatch
from vibe_orderbook_mcp.analytics.usual.measures import Measures
from vibe_orderbook_mcp.market.market import Market
from vibe_orderbook_mcp.model.events import DepthSnapshot, DepthUpdate, Trade
from vibe_orderbook_mcp.model.rows import BANDS_BPS, RowFlag, SecondRow
from vibe_orderbook_mcp.seconds.wall_watch import LevelEvidence

TIMES = 6
WAIT_SECS = 70  # until a second counts for what is usual
UNSOUND = ~int(RowFlag.LOCKED)

on_symbols = pytest.mark.parametrize("symbol", ["BTCUSDT", "ETHUSDT"])


@dataclass
class Played:
    rows: list[SecondRow]
    trades: list[Trade]  # of one time
    told: list[Measures]  # of all times
    length: int


@cache
def played(symbol: str) -> Played:
    recording, market = recorded(YEAR_2024, symbol), Market()
    state = market.add(recording.spec)
    once: list[tuple[SecondRow, LevelEvidence | None]] = []
    trades: list[Trade] = []
    for received_ns, what in recording.told:
        if isinstance(what, DepthSnapshot):
            market.load(symbol, what, DEPTH_LIMIT, received_ns)
        elif isinstance(what, DepthUpdate):
            market.receive_depth(what, received_ns)
        elif market.receive_trade(symbol, what):
            trades.append(what)
        once += [(each.record.row, each.evidence) for each in state.take().seconds]
    watch, length = SymbolWatch(recording.spec), once[-1][0].second - once[0][0].second + 1
    rows, told = [], []
    for turn in range(TIMES):
        for place, (row, evidence) in enumerate(once):
            flags = row.flags | (int(RowFlag.RESYNC) if place == 0 else 0)
            shifted = msgspec.structs.replace(row, second=row.second + turn * length, flags=flags)
            assert watch.second(shifted, evidence) is not None
            rows.append(shifted)
            told.append(watch.measures[-1])
    assert [each for each in watch.recent if each.type in ("update_burst", "crash_precursor")] == []
    return Played(rows, trades, told, length)


def checked(found: Played) -> list[int]:
    """Places in the last time, once there is an hour."""
    return list(range(len(found.rows) - 180, len(found.rows), 9))


def usual_rows(found: Played, at: int) -> list[SecondRow]:
    """Earlier valid seconds that count: a second comes after those that are a little over a minute old count."""
    until = found.rows[at].second - 1 - WAIT_SECS
    return [
        row
        for row in found.rows[:at]
        if row.second <= until and not row.flags & UNSOUND and row.covered_ms >= 950 and row.mid is not None
    ]


def sides(row: SecondRow, place: int) -> tuple[float | None, float | None]:
    """None: the recorded book is not known that far."""
    bid = None if row.bid_truncated >> place & 1 else row.bid_band_quote[place]
    return bid, None if row.ask_truncated >> place & 1 else row.ask_band_quote[place]


def usual_sides(found: Played, at: int, place: int) -> list[float]:
    known = [sides(row, place) for row in usual_rows(found, at)]
    return [median(each[side] for each in known if each[side] is not None) for side in (0, 1)]  # type: ignore[type-var, misc]  # none of them is None


@on_symbols
def test_the_move_of_mid(symbol: str) -> None:
    found = played(symbol)
    broken = [row.second for row in found.rows if row.flags & UNSOUND]
    mids = {row.second: row.mid for row in found.rows if row.mid is not None}

    def move(second: int, secs: int) -> float | None:
        if any(second - secs <= each <= second for each in broken):
            return None
        now, before = mids.get(second), mids.get(second - secs)
        return None if now is None or before is None else 1e4 * log(now / before)

    for at in checked(found):
        second = found.rows[at].second
        newest = (second + 1) // 10 * 10 - 1
        grid = range(newest - 3590, newest - 59, 10)
        squares = sorted(step * step for end in grid if (step := move(end, 10)) is not None)
        cap_at = 0.98 * (len(squares) - 1)
        low = squares[int(cap_at)]
        cap = low + (squares[min(int(cap_at) + 1, len(squares) - 1)] - low) * (cap_at % 1)
        variance = sum(min(each, cap) for each in squares) / len(squares) / 10
        tick_bps = 1e4 * 0.01 / mids[second]
        moves = [(move(second, secs), secs) for secs in (1, 10, 60)]
        known = [abs(bps) / max(sqrt(variance * secs), tick_bps) for bps, secs in moves if bps is not None]
        assert found.told[at].price_z == pytest.approx(max(known), rel=1e-9)


@on_symbols
def test_volume(symbol: str) -> None:
    found = played(symbol)
    last_turn = (TIMES - 1) * found.length
    for at in checked(found):
        second = found.rows[at].second - last_turn
        volume = sum(
            trade.price * trade.size for trade in found.trades if second - 60 < trade.time_ms // 1000 <= second
        )
        rows = usual_rows(found, at)
        mean = sum(row.buy_quote + row.sell_quote for row in rows) / len(rows)
        assert found.told[at].volume_times == pytest.approx(volume / (60 * mean), rel=1e-6)


@needs_recordings
@on_symbols
def test_the_band_and_depth(symbol: str) -> None:
    """Medians are to the width of a bin, 2 %."""
    found, checks = played(symbol), 0
    for at in checked(found):
        told = found.told[at]
        place = BANDS_BPS.index(told.band_bps or 0)
        eleven = [sides(row, place) for row in found.rows[at - 10 : at + 1]]
        if any(None in both for both in eleven):
            continue
        checks += 1
        usual = usual_sides(found, at, place)
        share = min((amount or 0.0) / each for amount, each in zip(eleven[-1], usual, strict=True))
        assert told.depth_share == pytest.approx(share, rel=0.021)
        shares = []
        for side in (0, 1):
            amounts = [both[side] or 0.0 for both in eleven]
            hit = sum(row.buy_quote if side else row.sell_quote for row in found.rows[at - 4 : at + 1])
            shares.append(max(0.0, (min(amounts[:6]) - amounts[-1] - hit) / min(amounts[:6])))
        assert told.withdrawn == pytest.approx(max(shares))
        assert told.depth_left is not None
        assert told.depth == pytest.approx(max(-log2(1 - max(shares)), -0.76 * log2(told.depth_left)))
    assert checks >= 3


@on_symbols
def test_spread(symbol: str) -> None:
    found = played(symbol)
    for at in checked(found):
        spreads = [1e4 * row.spread_mean / row.mid for row in usual_rows(found, at) if row.spread_mean and row.mid]
        usual = max(median(spreads), 0.5)
        times = []
        for row in found.rows[at - 2 : at + 1]:
            assert row.spread_mean is not None
            assert row.mid is not None
            times.append(max(1e4 * row.spread_mean / row.mid, 0.5) / usual)
        assert found.told[at].spread_times == pytest.approx(times[-1], rel=0.011)
        assert found.told[at].spread_lasting == pytest.approx(sorted(times)[1], rel=0.011)


def groups(trades: list[Trade]) -> dict[int, list[list[Trade]]]:
    """Taker groups by their second, the slow way."""
    out: list[list[Trade]] = []
    for trade in sorted(trades, key=lambda each: each.agg_id):
        last = out[-1][-1] if out else None
        sign = -1 if trade.buyer_is_maker else 1
        if (
            last is not None
            and (trade.agg_id, trade.time_ms, trade.buyer_is_maker)
            == (last.agg_id + 1, last.time_ms, last.buyer_is_maker)
            and sign * (trade.price - last.price) >= 0
        ):
            out[-1].append(trade)
        else:
            out.append([trade])
    by_second: dict[int, list[list[Trade]]] = defaultdict(list)
    for group in out:
        if len({each.price for each in group}) >= 3:
            by_second[group[0].time_ms // 1000].append(group)
    return by_second


@needs_recordings
@on_symbols
def test_sweeps(symbol: str) -> None:
    """Every second of the last time: those of the usual depth move by 2 % at most."""
    found = played(symbol)
    by_second, last_turn, seen = groups(found.trades), (TIMES - 1) * found.length, 0
    for at in range(len(found.rows) - found.length + 5, len(found.rows) - 5):
        told = found.told[at]
        largest = {True: 0.0, False: 0.0}
        for group in by_second.get(told.second - last_turn, ()):
            sells = group[0].buyer_is_maker
            largest[sells] = max(largest[sells], sum(each.price * each.size for each in group))
        rows = {each.side: each.quote for each in reversed(told.sweeps)}  # the largest of a side comes first
        assert rows.get("bid", 0.0) == pytest.approx(largest[True])
        assert rows.get("ask", 0.0) == pytest.approx(largest[False])
        seen += bool(rows)
    assert seen > 20
    for at in checked(found):
        told = found.told[at]
        usual = usual_sides(found, at, BANDS_BPS.index(told.band_bps or 0))
        share = max((each.quote / usual[each.side == "ask"] for each in told.sweeps), default=0.0)
        assert told.sweep_share == pytest.approx(share, rel=0.021)
