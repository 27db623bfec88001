"""Windows of per-second rows: their totals, their coverage, and the equal windows before them.

Rows ascend by second. Seconds that were not recorded are missing. A row's `covered_ms` says how much of its second had
a valid book; rates divide by that, never by the requested length.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from operator import attrgetter, mul
from typing import Any, Final, Literal

from vibe_orderbook_mcp.analytics.numbers import ratio, secs_text
from vibe_orderbook_mcp.model.errors import Refusal
from vibe_orderbook_mcp.model.numbering import is_own
from vibe_orderbook_mcp.model.rows import SecondRow, SideFlow

Quality = Literal["ok", "partial", "insufficient"]
Rows = Sequence[SecondRow]

OK_COVERAGE = 0.95
MIN_COVERAGE = 0.5
SHORTEST_WINDOW_SECS = 10


@dataclass(frozen=True, slots=True)
class Span:
    """Whole seconds of exchange time: `start` inclusive, `end` exclusive."""

    start: int
    end: int

    @property
    def secs(self) -> int:
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class Cut:
    """The rows of one span, and mid just before it if known."""

    span: Span
    rows: Rows
    mid_before: float | None

    @property
    def covered_secs(self) -> float:
        covered_ms: int = sum(map(_covered_ms, self.rows))
        return covered_ms / 1000

    @property
    def coverage(self) -> float:
        """0 to 1, never more."""
        return min(1.0, self.covered_secs / self.span.secs) if self.span.secs > 0 else 0.0

    @property
    def mid_start(self) -> float | None:
        """Mid before the span, else the first one known inside it."""
        if self.mid_before is not None:
            return self.mid_before
        return next((row.mid for row in self.rows if row.mid is not None), None)

    @property
    def mid_end(self) -> float | None:
        return next((row.mid for row in reversed(self.rows) if row.mid is not None), None)

    @property
    def mid_change(self) -> float | None:
        """In quote units; None without a mid."""
        start, end = self.mid_start, self.mid_end
        return None if start is None or end is None else end - start


@dataclass(frozen=True, slots=True)
class SideTotals:
    """`SideFlow` over a window. Amounts in base units and, valued at each second's mid, in quote units."""

    added: float = 0.0
    cancelled: float = 0.0
    traded: float = 0.0
    added_quote: float = 0.0
    cancelled_quote: float = 0.0
    add_events: int = 0
    cancel_events: int = 0
    discovered: int = 0

    @property
    def cancel_share(self) -> float | None:
        """cancelled / (added + cancelled), 0 to 1."""
        return ratio(self.cancelled, self.added + self.cancelled)


@dataclass(frozen=True, slots=True)
class WindowTotals:
    """The sums of all rows of a window."""

    span: Span
    samples: int
    covered_secs: float
    coverage: float
    flags: int
    events: int
    rows: int
    ids: int
    bid: SideTotals
    ask: SideTotals
    ofi: float
    mlofi: tuple[float, ...]  # as many levels as any second had
    level_depth: tuple[float, ...]  # mean over depth events of (bid size + ask size) / 2 by level
    buy_volume: float
    sell_volume: float
    buy_quote: float
    sell_quote: float
    fills: int
    agg_trades: int
    missing_trades: int | None  # that the rows lack, by the ids of trades; None: some, and their number is unknown
    size_squares: float
    effective_spread_sum: float
    effective_spread_volume: float
    joins_late: int
    joins_open: int


def cut(rows: Rows, span: Span) -> Cut:
    """The rows of a span out of a longer, ascending list."""
    first = bisect_left(rows, span.start, key=_second)
    last = bisect_left(rows, span.end, lo=first, key=_second)
    before = rows[first - 1] if first > 0 and rows[first - 1].second == span.start - 1 else None
    return Cut(span, rows[first:last], before.mid if before else None)


def equal_windows(
    rows: Rows, secs: int, before: int, *, since: int | None = None, min_coverage: float = OK_COVERAGE
) -> list[Cut]:
    """Non-overlapping windows of `secs` that end at `before` or earlier, oldest first, well covered ones only."""
    if not rows or secs <= 0:
        return []
    earliest = rows[0].second if since is None else max(since, rows[0].second)
    spans = (Span(end - secs, end) for end in range(before, earliest + secs - 1, -secs))
    windows = [window for span in spans if (window := cut(rows, span)).coverage >= min_coverage]
    return windows[::-1]


def total(window: Cut) -> WindowTotals:
    """The sums of a window's rows: column by column, for half the cost of row by row."""
    rows = window.rows
    mids = _mids(window)
    sums: dict[str, Any] = (
        dict(zip(_SUMMED, map(sum, zip(*map(_summed, rows), strict=True)), strict=True))
        if rows
        else dict.fromkeys(_SUMMED, 0)
    )
    eventful = [row for row in rows if row.events]
    return WindowTotals(
        span=window.span,
        samples=len(rows),
        covered_secs=window.covered_secs,
        coverage=window.coverage,
        flags=_union(row.flags for row in rows),
        bid=_side_totals([row.bid for row in rows], mids),
        ask=_side_totals([row.ask for row in rows], mids),
        mlofi=tuple(map(sum, zip_longest(*(row.mlofi for row in rows), fillvalue=0.0))),
        level_depth=_mean_depth([row.level_depth for row in eventful], [row.events for row in eventful]),
        fills=sums.pop("buy_trades") + sums.pop("sell_trades"),
        missing_trades=missing_trades(rows),
        **sums,
    )


def quality(coverage: float, count: int, minimum: int) -> Quality:
    """ok: covered, with enough events; partial: half covered, or few events; insufficient: no answer."""
    if coverage < MIN_COVERAGE:
        return "insufficient"
    return "ok" if coverage >= OK_COVERAGE and count >= minimum else "partial"


def held_part(rows: Rows, span: Span) -> Span:
    """The span; if less than half of it is covered, its newest well covered part, if that is long enough."""
    window = cut(rows, span)
    if window.coverage >= MIN_COVERAGE or (shorter := longest_covered(window)) < SHORTEST_WINDOW_SECS:
        return span
    return Span(span.end - shorter, span.end)


def check_coverage(symbol: str, rows: Rows, span: Span) -> Cut:
    """The span's rows, or a `Refusal` that says when the window can be answered."""
    window = cut(rows, span)
    if window.coverage >= MIN_COVERAGE:
        return window
    shortest = cut(rows, Span(max(span.start, span.end - SHORTEST_WINDOW_SECS), span.end))
    soon = min(secs_until(shortest, OK_COVERAGE), secs_until(window, MIN_COVERAGE))
    wholly = secs_until(window, OK_COVERAGE)
    raise Refusal(
        "insufficient_historical_data",
        f"{symbol}: {secs_text(window.covered_secs)} of the requested {span.secs} s are recorded.",
        f"While the feed runs, part of this window can be answered in {soon} s and all of it in {wholly} s.",
        retry_after_secs=float(soon),
    )


def secs_until(window: Cut, coverage: float) -> int:
    """Seconds until a window of this length reaches the coverage, if every second from now on is covered."""
    needed = coverage * window.span.secs * 1000
    left = sum(row.covered_ms for row in window.rows)
    rows = list(window.rows)
    for wait in range(1, window.span.secs + 1):
        while rows and rows[0].second < window.span.start + wait:
            left -= rows.pop(0).covered_ms
        if left + wait * 1000 >= needed:
            return wait
    return max(1, window.span.secs)


def longest_covered(window: Cut) -> int:
    """Length in seconds of the longest well covered window with the same end; 0 without one."""
    longest = covered = 0
    for row in reversed(window.rows):
        covered += row.covered_ms
        secs = window.span.end - row.second
        if covered >= OK_COVERAGE * secs * 1000:
            longest = secs
    return longest


_second, _covered_ms = attrgetter("second"), attrgetter("covered_ms")
_flow = attrgetter("added", "cancelled", "traded", "add_events", "cancel_events", "discovered")
_SUMMED: Final = (
    *("events", "rows", "ids", "ofi", "buy_volume", "sell_volume", "buy_quote", "sell_quote"),
    *("buy_trades", "sell_trades", "agg_trades", "size_squares"),
    *("effective_spread_sum", "effective_spread_volume", "joins_late", "joins_open"),
)
_summed = attrgetter(*_SUMMED)


def _mids(window: Cut) -> list[float]:
    """A mid for every row: its own, else the last one before, else the first one after; 0 without any."""
    known = window.mid_start or 0.0
    out = []
    for row in window.rows:
        known = row.mid or known
        out.append(known)
    return out


def _side_totals(flows: Sequence[SideFlow], mids: Sequence[float]) -> SideTotals:
    if not flows:
        return SideTotals()
    columns = zip(*map(_flow, flows), strict=True)
    added, cancelled, traded, add_events, cancel_events, discovered = columns
    return SideTotals(
        added=sum(added),
        cancelled=sum(cancelled),
        traded=sum(traded),
        added_quote=sum(map(mul, added, mids)),
        cancelled_quote=sum(map(mul, cancelled, mids)),
        add_events=sum(add_events),
        cancel_events=sum(cancel_events),
        discovered=sum(discovered),
    )


def _mean_depth(depths: Sequence[tuple[float, ...]], events: Sequence[int]) -> tuple[float, ...]:
    """Mean by level over the seconds that have the level, weighted by events."""
    lengths, means = list(map(len, depths)), []
    every, shortest = sum(events), min(lengths, default=0)
    for level, column in enumerate(zip_longest(*depths, fillvalue=0.0)):
        known = every
        if level >= shortest:
            known = sum(count for length, count in zip(lengths, events, strict=True) if length > level)
        means.append(sum(map(mul, column, events)) / known)
    return tuple(means)


def missing_trades(rows: Rows) -> int | None:
    """Ids are consecutive, so missing trades between the first and the last can be counted. None: the ids are own
    numbers and the stream was interrupted, so there are some and their number is unknown.
    """
    firsts = [row.first_agg_id for row in rows if row.first_agg_id is not None]
    lasts = [row.last_agg_id for row in rows if row.last_agg_id is not None]
    if not firsts or not lasts:
        return 0
    missing = max(0, max(lasts) - min(firsts) + 1 - sum(row.agg_trades for row in rows))
    return None if missing and is_own(max(lasts)) else missing


def _union(flags: Iterable[int]) -> int:
    out = 0
    for flag in flags:
        out |= flag
    return out
