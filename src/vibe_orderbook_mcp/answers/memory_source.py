"""A source in memory: each instrument is a set of plain values, and all answers are made from these."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from vibe_orderbook_mcp.analytics.anomalies.watch import SymbolWatch
from vibe_orderbook_mcp.analytics.anomalies.watched import NormalNow, Usual, Watched, watched
from vibe_orderbook_mcp.analytics.findings import Finding
from vibe_orderbook_mcp.analytics.flow.past import Earlier, Past
from vibe_orderbook_mcp.analytics.flow.toxicity import VolumeBuckets, VolumeVpin, bucket_lots
from vibe_orderbook_mcp.analytics.microprice import MicropriceTable
from vibe_orderbook_mcp.analytics.profile.bins import Bin, Histogram
from vibe_orderbook_mcp.analytics.profile.coverage import TapeCoverage, TradedWindow
from vibe_orderbook_mcp.analytics.resting import RestingDepth
from vibe_orderbook_mcp.analytics.snapshot import BookView
from vibe_orderbook_mcp.analytics.views import BookFrame
from vibe_orderbook_mcp.analytics.windows import Span, held_part
from vibe_orderbook_mcp.answers.source import Part
from vibe_orderbook_mcp.model import numbering
from vibe_orderbook_mcp.model.condition import BookCondition, ServerCondition
from vibe_orderbook_mcp.model.errors import Refusal
from vibe_orderbook_mcp.model.events import Trade
from vibe_orderbook_mcp.model.listed import PriceSource
from vibe_orderbook_mcp.model.moment import Moment
from vibe_orderbook_mcp.model.numbering import breaks_between, is_own
from vibe_orderbook_mcp.model.refusals import not_live
from vibe_orderbook_mcp.model.rows import KEPT_FIELDS, KEPT_SECS, SecondRow, kept
from vibe_orderbook_mcp.model.symbol import SymbolSpec

DAY_SECS: Final = 86_400
NO_TRADES: Final[Mapping[float, float]] = {}


@dataclass(frozen=True)
class MemoryInstrument:
    """`rows` ascend by second, `trades` by id, `findings` by start. `book` is the one of `moment`."""

    moment: Moment
    book: BookView | None = None
    rows: tuple[SecondRow, ...] = ()
    trades: tuple[Trade, ...] = ()
    findings: tuple[Finding, ...] = ()
    resting: tuple[RestingDepth, ...] = ()
    microprice: MicropriceTable | None = None
    has_all_trades: bool = False  # the exchange has no older ones


class MemorySource:
    """A `Source` (see `answers.source`). `instruments` may change at any time; nothing is subscribed."""

    def __init__(self, instruments: Mapping[str, MemoryInstrument], origin: PriceSource | None = None) -> None:
        self.instruments = instruments
        self._origin = origin
        self._watches: dict[str, tuple[tuple[SecondRow, ...], SymbolWatch]] = {}

    # --- present ------------------------------------------------------------------------------------------------

    @property
    def origin(self) -> PriceSource | None:
        return self._origin

    async def want(self, symbol: str, *, live: bool = False) -> Moment:
        now = self.moment(symbol)
        if live and not now.has_book:
            raise not_live(now)
        return now

    def moment(self, symbol: str) -> Moment:
        return self._of(symbol).moment

    def book(self, symbol: str, levels: int | None = None, *, notional: float = 0.0) -> BookFrame | None:
        known = self._of(symbol)
        now, view = known.moment, known.book
        if view is None or now.last_update_id is None:
            return None
        if levels is not None:
            view = BookView(list(view.bids)[:levels], list(view.asks)[:levels], view.bid_horizon, view.ask_horizon)
        return BookFrame(view, now.last_update_id, now.event_ms, {"bid": NO_TRADES, "ask": NO_TRADES})

    def resting(self, symbol: str) -> Sequence[RestingDepth]:
        return self._of(symbol).resting

    def usual(self, symbol: str) -> Usual:
        watch = self._watch(symbol)
        return Usual(watch.baseline.day, tuple(watch.open), self._of(symbol).microprice)

    def normal(self, symbol: str) -> NormalNow:
        watch = self._watch(symbol)
        return NormalNow(watch.normal, tuple(watch.measures))

    def watched(self, symbol: str, span: Span, since: int) -> Watched:
        watch = self._watch(symbol)
        return watched(watch, held_part(list(watch.rows), span), since)

    def condition(self) -> ServerCondition:
        moments = [each.moment for each in self.instruments.values()]
        return ServerCondition(
            newest_ms=max((now.newest_ms or 0 for now in moments), default=0),
            books=[_condition(each) for each in self.instruments.values()],
            failed={},
            is_connected=all(now.disconnected is None for now in moments),
            reconnects=0,
            replacements=0,
            malformed_frames=0,
            is_running=False,
            why_not_recording="read_only: these are values in memory",
            is_clock_back=False,
            mode="read_only",
            error=None,
            damage=None,
            notice=None,
            set_aside=(),
            free_bytes=None,
            waiting_secs=0,
            seconds_dropped=0,
            lost="",
            last_write_age_ms=None,
        )

    # --- recorded -----------------------------------------------------------------------------------------------

    async def rows(self, symbol: str, span: Span, part: Part) -> list[SecondRow]:
        rows = self._of(symbol).rows
        if part == "seen":
            return list(self._watch(symbol).rows)
        since = (rows[-1].second if rows else span.end) - KEPT_SECS
        hour = [kept(getattr(row, field) for field in KEPT_FIELDS) for row in rows if since <= row.second < span.start]
        return hour if part == "hour" else [*hour, *(row for row in rows if span.start <= row.second < span.end)]

    async def windows(self, symbol: str, secs: int, before: int) -> Earlier:
        end = before - before % secs
        past = Past.of(row for row in self._of(symbol).rows if end - DAY_SECS <= row.second < end)
        return Earlier(past.windows(secs, end), None)

    async def sums(self, symbol: str, span: Span) -> TradedWindow:
        known = self._of(symbol)
        start_ms, end_ms = span.start * 1000, span.end * 1000
        inside = [trade for trade in known.trades if start_ms <= trade.time_ms < end_ms]
        return TradedWindow(span, _histogram(known.moment.spec, inside), _coverage(known, span, inside))

    async def vpin(self, symbol: str, end: int) -> VolumeVpin | None:
        known, scale = self._of(symbol), 10.0 ** self._of(symbol).moment.spec.lot_exp
        start_ms, end_ms = (end - DAY_SECS) * 1000, end * 1000
        trades = [trade for trade in known.trades if start_ms <= trade.time_ms < end_ms]
        if not trades:
            return None
        lots = [round(trade.size * scale) for trade in trades]
        # As if the rest of the day had been like it.
        buckets = VolumeBuckets(bucket_lots(sum(lots) * DAY_SECS * 1000 // max(1, end_ms - trades[0].time_ms)))
        for trade, size in zip(trades, lots, strict=True):
            buckets.add(size, is_buy=not trade.buyer_is_maker)
        return buckets.newest

    async def today(self, symbol: str, end: int) -> tuple[float, float] | None:
        known, midnight_ms = self._of(symbol), (end - end % DAY_SECS) * 1000
        older = [trade for trade in known.trades if trade.time_ms < midnight_ms]
        day = [trade for trade in known.trades if midnight_ms <= trade.time_ms < end * 1000]
        if not (older or known.has_all_trades) or _missing([*older[-1:], *day]):
            return None
        buys = sum(trade.size for trade in day if not trade.buyer_is_maker)
        return buys, sum(trade.size for trade in day if trade.buyer_is_maker)

    async def findings(self, symbol: str, start_ms: int, end_ms: int) -> list[Finding]:
        return [found for found in self._of(symbol).findings if start_ms <= found.start_ms < end_ms]

    def revision(self, symbol: str) -> Hashable:
        known = self._of(symbol)
        newest = known.trades[-1].agg_id if known.trades else None
        return known.moment.newest_second, len(known.rows), len(known.trades), newest, len(known.findings)

    def _of(self, symbol: str) -> MemoryInstrument:
        if (known := self.instruments.get(symbol)) is None:
            raise Refusal("symbol_not_found", f"{symbol} is not among those in memory.", "Ask for one that is.")
        return known

    def _watch(self, symbol: str) -> SymbolWatch:
        known = self._of(symbol)
        found = self._watches.get(symbol)
        if found is None or found[0] is not known.rows:
            watch = SymbolWatch(known.moment.spec)
            for row in known.rows:
                watch.second(row)
            found = self._watches[symbol] = known.rows, watch
        return found[1]


def _condition(known: MemoryInstrument) -> BookCondition:
    now, book = known.moment, known.book
    return BookCondition(
        symbol=now.spec.symbol,
        status=now.status,
        reason=now.reason,
        age_ms=None if now.age_ns is None else now.age_ns // 1_000_000,
        last_update_id=now.last_update_id,
        bid_levels=0 if book is None else len(book.bids),
        ask_levels=0 if book is None else len(book.asks),
        events=0,
        gaps=0,
        resyncs=now.loads,
        audits=0,
        audit_mismatches=0,
        snapshots_stored=len(known.rows),
        trades_stored=len(known.trades),
    )


def _histogram(spec: SymbolSpec, trades: Sequence[Trade]) -> Histogram:
    """In bins of a tick."""
    bins: dict[int, Bin] = {}
    bought = sold = 0
    prices = [round(trade.price * 10.0**spec.tick_exp) for trade in trades]
    for trade, ticks in zip(trades, prices, strict=True):
        lots = round(trade.size * 10.0**spec.lot_exp)
        buys, sells, count = bins.get(ticks, (0, 0, 0))
        if trade.buyer_is_maker:
            bins[ticks], sold = (buys, sells + lots, count + 1), sold + ticks * lots
        else:
            bins[ticks], bought = (buys + lots, sells, count + 1), bought + ticks * lots
    return Histogram(
        tick_exp=spec.tick_exp,
        lot_exp=spec.lot_exp,
        width_ticks=1,
        bins=bins,
        low_ticks=min(prices, default=None),
        high_ticks=max(prices, default=None),
        buy_quote_units=bought,
        sell_quote_units=sold,
        last_ticks=prices[-1] if prices else None,
        last_ms=trades[-1].time_ms if trades else None,
    )


def _coverage(known: MemoryInstrument, span: Span, inside: Sequence[Trade]) -> TapeCoverage:
    start_ms, end_ms = span.start * 1000, span.end * 1000
    before = [trade for trade in known.trades if trade.time_ms < start_ms][-1:]
    after = [trade for trade in known.trades if trade.time_ms >= end_ms][:1]
    whole_ms = None  # of the oldest trade since which none is missing
    for trade, newer in zip(known.trades[::-1], (None, *known.trades[::-1]), strict=False):
        if newer is not None and newer.agg_id != trade.agg_id + 1:
            break
        whole_ms = trade.time_ms
    first_ms = known.trades[0].time_ms if known.trades else None
    if known.has_all_trades and whole_ms is not None and whole_ms == first_ms:
        whole_ms = min(whole_ms, start_ms)
    is_open = not before and not known.has_all_trades and first_ms is not None
    around = [*before, *inside, *after]
    has_own_numbers = bool(around) and is_own(around[-1].agg_id)
    breaks, unknown_ms = numbering.inside(breaks_between(around) if has_own_numbers else (), start_ms, end_ms)
    return TapeCoverage(
        held=len(inside),
        missing=0 if has_own_numbers else _missing(around),
        breaks=breaks,
        unknown_ms=unknown_ms,
        complete_since_ms=whole_ms,
        accounted_since_ms=max(start_ms, first_ms) if is_open and first_ms is not None else None,
        never_traded=known.has_all_trades and first_ms is None,
    )


def _missing(trades: Sequence[Trade]) -> int:
    return trades[-1].agg_id - trades[0].agg_id + 1 - len(trades) if trades else 0
