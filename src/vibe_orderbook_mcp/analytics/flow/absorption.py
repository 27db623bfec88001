"""Absorption: aggression that did not move the price.

There are two rules. A level absorbs when

* at least three times its largest displayed size traded against it,
* at least half of that was refilled,
* four fifths of the trading at that price hit its side,
* mid moved against it by no more than a usual move and did not end beyond it.

A window absorbs when aggressors were one-sided, their net amount is in the top hundredth of earlier equal windows, and
mid did not follow them. The data does not show who quotes a level.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median
from typing import Final, Literal

from vibe_orderbook_mcp.analytics.flow.past import EqualWindow, EqualWindows
from vibe_orderbook_mcp.analytics.numbers import ratio
from vibe_orderbook_mcp.analytics.windows import Cut, Rows, Span, cut, equal_windows
from vibe_orderbook_mcp.model.events import Side
from vibe_orderbook_mcp.model.rows import SecondRow, TouchedLevel

Absorber = Literal["passive_buying", "passive_selling"]

MIN_TURNOVER = 3.0
MIN_REPLENISHED = 0.5
MIN_LEVEL_TRADES = 20
MIN_ONE_SIDED = 0.8
NET_QUANTILE = 0.99
MIN_NET_SHARE = 0.5
MIN_VOLUME_RANK = 0.9
WINDOWS_NEEDED = 200
HISTORY_NEEDED_SECS: Final = 3600  # no window is called rare against fewer
KAPPA_SPAN_SECS = 3600
KAPPA_MIN_SECS = 900

# Sums of lots carry rounding; a rule met exactly is met.
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class WindowAbsorption:
    """The measurements of the window rule. Below `windows_needed` there is no threshold and no rarity."""

    net_quote: float  # aggressors' buys - sells
    net_share: float | None  # |net| / volume; None: nothing traded
    moved_ticks: float  # mid, in the aggressors' direction; negative: against them
    allowance_ticks: float
    net_needed_quote: float | None  # the 0.99 quantile of |net| of equal windows
    rarity: float | None  # of |net|
    volume_rank: float | None
    windows: int
    windows_needed: int

    @property
    def absorber(self) -> Absorber | None:
        """The absorbing side when all conditions are met. A window has one net direction, so never both sides."""
        needed, share, rank = self.net_needed_quote, self.net_share, self.volume_rank
        if needed is None or share is None or rank is None or self.net_quote == 0.0:
            return None
        is_large = abs(self.net_quote) >= needed * (1 - _ROUNDING) and rank >= MIN_VOLUME_RANK
        is_one_sided = share >= MIN_NET_SHARE * (1 - _ROUNDING)
        held = self.moved_ticks <= self.allowance_ticks * (1 + _ROUNDING)
        if not (is_large and is_one_sided and held):
            return None
        return "passive_selling" if self.net_quote > 0.0 else "passive_buying"


def absorber(side: Side) -> Absorber:
    """Bids that absorb sells buy passively; asks that absorb buys sell passively."""
    return "passive_buying" if side == "bid" else "passive_selling"


def merge_touched(rows: Iterable[SecondRow]) -> list[TouchedLevel]:
    """Each level that trades hit, over all rows: displayed size before the first hit, at most, and after the last."""
    merged: dict[tuple[Side, float], _Touched] = {}
    for row in rows:
        for level in row.touched:
            key = level.side, level.price
            known = merged.get(key)
            if known is None:
                merged[key] = _Touched(level)
                continue
            known.traded += level.traded
            known.trades += level.trades
            known.shown_end = level.shown_end
            known.shown_max = max(known.shown_max, level.shown_max)
    return [
        TouchedLevel(
            side=side,
            price=price,
            traded=found.traded,
            trades=found.trades,
            shown_start=found.shown_start,
            shown_max=found.shown_max,
            shown_end=found.shown_end,
        )
        for (side, price), found in merged.items()
    ]


class _Touched:
    """A level while it is merged."""

    __slots__ = ("shown_end", "shown_max", "shown_start", "traded", "trades")

    def __init__(self, level: TouchedLevel) -> None:
        self.traded, self.trades = level.traded, level.trades
        self.shown_start, self.shown_max, self.shown_end = level.shown_start, level.shown_max, level.shown_end


def replenished(level: TouchedLevel) -> float:
    """Refilled volume: traded volume less the fall of the displayed size."""
    return level.traded - (level.shown_start - level.shown_end)


def adverse_ticks(absorbing: Absorber, mid_change: float, tick: float) -> float:
    """How far mid moved against the absorbing side, in ticks; 0 for a move in its favour."""
    moved = round(2 * mid_change / tick) / 2  # mids stand on half ticks
    return max(0.0, -moved if absorbing == "passive_buying" else moved)


def absorbs(level: TouchedLevel, adverse: float, allowance: float) -> bool:
    """The level rule. `adverse` and `allowance` in ticks."""
    return (
        level.shown_max > 0.0
        and level.traded >= MIN_TURNOVER * level.shown_max * (1 - _ROUNDING)
        and replenished(level) >= MIN_REPLENISHED * level.traded * (1 - _ROUNDING)
        and adverse <= allowance * (1 + _ROUNDING)
    )


def kappa_ticks(rows: Rows, window: Cut, tick: float) -> float | None:
    """Median |mid change| over the equal windows of the hour before, in ticks. None below 15 minutes of rows."""
    start = window.span.start
    hour = Span(start - KAPPA_SPAN_SECS, start)
    if cut(rows, hour).covered_secs < KAPPA_MIN_SECS:
        return None
    before = equal_windows(rows, window.span.secs, start, since=hour.start)
    changes = [abs(change) for other in before if (change := other.mid_change) is not None]
    return median(changes) / tick if changes else None


def level_absorption(window: Cut, tick: float, kappa: float | None) -> list[TouchedLevel]:
    """The levels that absorbed at least 20 trades, most traded first."""
    change, end = window.mid_change, window.mid_end
    if change is None or end is None:
        return []
    allowance = allowance_ticks(kappa)
    levels = merge_touched(window.rows)
    traded = {(level.side, level.price): level.traded for level in levels}
    found = [
        level
        for level in levels
        if level.trades >= MIN_LEVEL_TRADES
        and absorbs(level, adverse_ticks(absorber(level.side), change, tick), allowance)
        and is_one_sided(level.traded, traded.get((_opposite(level.side), level.price), 0.0))
        and not gave_way(level, end, tick)
    ]
    return sorted(found, key=lambda level: level.traded, reverse=True)


def allowance_ticks(kappa: float | None) -> float:
    """How far mid may move: a usual move, at least one tick."""
    return max(1.0, kappa or 0.0)


def is_one_sided(traded: float, against: float) -> bool:
    """Whether four fifths of the volume at a price hit one side. Two parties that trade with each other hit both."""
    return traded >= MIN_ONE_SIDED * (traded + against) * (1 - _ROUNDING)


def gave_way(level: TouchedLevel, mid_end: float, tick: float) -> bool:
    """Whether mid ended more than a tick beyond the level: then price went through it."""
    beyond = level.price - mid_end if level.side == "bid" else mid_end - level.price
    return beyond > tick * (1 + 1e-6)


def share_of_aggression(level: TouchedLevel, window: Cut) -> float | None:
    """Volume that the level absorbed / volume of all aggressors in that direction; None: nothing traded."""
    rows = window.rows
    whole = sum(row.sell_volume for row in rows) if level.side == "bid" else sum(row.buy_volume for row in rows)
    share = ratio(level.traded, whole)
    return None if share is None else min(1.0, share)


def _opposite(side: Side) -> Side:
    return "ask" if side == "bid" else "bid"


def window_absorption(window: Cut, before: EqualWindows, tick: float, kappa: float | None) -> WindowAbsorption | None:
    """The window rule against the equal windows before it, oldest first. None without a mid."""
    change = window.mid_change
    if change is None:
        return None
    now = EqualWindow.of(window)
    net, volume = _net(now), _volume(now)
    nets, volumes = before.ranks("abs_net", lambda other: abs(_net(other))), before.ranks("volume", _volume)
    needed = windows_needed(window.span.secs)
    is_known = len(nets) >= needed
    moved = round(2 * change / tick) / 2  # mids stand on half ticks
    return WindowAbsorption(
        net_quote=net,
        net_share=ratio(abs(net), volume),
        moved_ticks=moved if net >= 0.0 else -moved,
        allowance_ticks=allowance_ticks(kappa),
        net_needed_quote=nets.quantile(NET_QUANTILE) if is_known else None,
        rarity=nets.rarity(abs(net)) if is_known else None,
        volume_rank=volumes.rank(volume) if is_known else None,
        windows=len(nets),
        windows_needed=needed,
    )


def windows_needed(secs: int) -> int:
    """Equal windows of this length before one is called rare: 200, and an hour of them."""
    return max(WINDOWS_NEEDED, -(-HISTORY_NEEDED_SECS // secs))


def _net(window: EqualWindow) -> float:
    return window.buy_quote - window.sell_quote


def _volume(window: EqualWindow) -> float:
    return window.buy_quote + window.sell_quote
