"""Aggression that met a refilling level and did not move the price.

Two rules. A level absorbs when at least three times what it ever showed traded against it, at least half of that
was replenished, and mid gave way by no more than a usual move. A window absorbs when the volume per tick of
adverse move is rare against equal windows before. Who stands behind a level is not in the data and is not said.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median
from typing import Literal

from vibe_orderbook_mcp.analytics.past import EqualWindow, EqualWindows
from vibe_orderbook_mcp.analytics.windows import Cut, Rows, Span, cut, equal_windows
from vibe_orderbook_mcp.core.events import Side
from vibe_orderbook_mcp.core.rows import SecondRow, TouchedLevel

Absorber = Literal["passive_buying", "passive_selling"]
ABSORBERS: tuple[Absorber, Absorber] = ("passive_buying", "passive_selling")

MIN_TURNOVER = 3.0
MIN_REPLENISHED = 0.5
MIN_LEVEL_TRADES = 20
MIN_RARITY = 0.99
WINDOWS_NEEDED = 200
KAPPA_SPAN_SECS = 3600
KAPPA_MIN_SECS = 900

# Sums of lots carry rounding; a rule met exactly is met.
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class WindowAbsorption:
    """Aggressive volume per tick of adverse move, and how rare that is. No rarity below 200 windows."""

    base_per_tick: float
    rarity: float | None
    windows: int

    @property
    def is_event(self) -> bool:
        return self.rarity is not None and self.rarity >= MIN_RARITY


def absorber(side: Side) -> Absorber:
    """Bids that take in sells buy passively; asks that take in buys sell passively."""
    return "passive_buying" if side == "bid" else "passive_selling"


def merge_touched(rows: Iterable[SecondRow]) -> list[TouchedLevel]:
    """Each level that trades hit, over all rows: shown before the first hit, at most, and after the last."""
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
    """Volume that was put back: what traded, less what the displayed size fell by."""
    return level.traded - (level.shown_start - level.shown_end)


def adverse_ticks(absorbing: Absorber, mid_change: float, tick: float) -> float:
    """How far mid gave way against the absorbing side, in ticks; a move in its favour is none."""
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
    change = window.mid_change
    if change is None:
        return []
    allowance = max(1.0, kappa or 0.0)
    found = [
        level
        for level in merge_touched(window.rows)
        if level.trades >= MIN_LEVEL_TRADES
        and absorbs(level, adverse_ticks(absorber(level.side), change, tick), allowance)
    ]
    return sorted(found, key=lambda level: level.traded, reverse=True)


def absorption_ratio(volume: float, adverse: float) -> float:
    """Aggressive volume per tick of adverse move, at least one tick."""
    return volume / max(adverse, 1.0)


def window_ratio(window: EqualWindow, absorbing: Absorber, tick: float) -> float | None:
    if window.mid_change is None:
        return None
    volume = window.sell_volume if absorbing == "passive_buying" else window.buy_volume
    return absorption_ratio(volume, adverse_ticks(absorbing, window.mid_change, tick))


def window_absorption(window: Cut, before: EqualWindows, absorbing: Absorber, tick: float) -> WindowAbsorption | None:
    """The window rule against the equal windows before it, oldest first. None without a mid."""
    buys, sells = sum(row.buy_volume for row in window.rows), sum(row.sell_volume for row in window.rows)
    now = window_ratio(EqualWindow(buys, sells, window.mid_change), absorbing, tick)
    if now is None:
        return None
    baseline = before.ranks((absorbing, tick), lambda other: window_ratio(other, absorbing, tick))
    enough = len(baseline) >= WINDOWS_NEEDED
    return WindowAbsorption(now, baseline.rarity(now) if enough else None, len(baseline))
