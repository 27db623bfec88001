"""Absorption while it happens: the level rule over the last minute, evaluated every few seconds."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from math import log
from typing import Final

from vibe_orderbook_mcp.analytics.findings import Finding
from vibe_orderbook_mcp.analytics.flow.absorption import (
    MIN_REPLENISHED,
    MIN_TURNOVER,
    absorber,
    level_absorption,
    replenished,
)
from vibe_orderbook_mcp.analytics.usual.baseline import Baseline
from vibe_orderbook_mcp.analytics.windows import Span, cut
from vibe_orderbook_mcp.model.events import Side
from vibe_orderbook_mcp.model.rows import SecondRow, TouchedLevel

WINDOW_SECS: Final = 60
EVERY_SECS: Final = 5
# A brief move of mid past a level does not make it a new level.
CLEAR_SECS: Final = 30


def first_hit(rows: Sequence[SecondRow], level: TouchedLevel) -> int:
    """The second in which the window's trades at that level began."""
    key = level.side, level.price
    return next(row.second for row in rows if any((each.side, each.price) == key for each in row.touched))


class Absorptions:
    def __init__(self, tick: float) -> None:
        self._tick = tick
        self._open: dict[tuple[Side, float], Finding] = {}
        self._last: dict[tuple[Side, float], int] = {}  # the second in which each was last found

    @property
    def open(self) -> list[Finding]:
        return list(self._open.values())

    def second(self, second: int, rows: Sequence[SecondRow], baseline: Baseline) -> list[Finding]:
        """Findings that changed. `rows` hold the last minute, ascending."""
        if second % EVERY_SECS or not (self._open or baseline.is_ready):
            return []
        recent = list(islice(reversed(rows), WINDOW_SECS + 1))[::-1]
        window = cut(recent, Span(second + 1 - WINDOW_SECS, second + 1))
        changed: list[Finding] = []
        absorbing = level_absorption(window, self._tick, baseline.median_minute_move_ticks)
        least = baseline.alarm_turnover() if absorbing else None
        for level in absorbing:
            turnover = level.traded / level.shown_max
            if least is None or turnover < least:
                continue
            standing = baseline.standing_level("turnover", log(turnover))
            key = level.side, level.price
            self._last[key] = second
            if key in self._open:
                continue
            self._open[key] = Finding(
                type="absorption",
                start_ms=1000 * first_hit(window.rows, level),
                end_ms=None,
                severity="Low",
                rarity=None if standing is None else standing.rarity,
                n_eff=None if standing is None else standing.n_eff,
                side=level.side,
                price=level.price,
                evidence={
                    "direction": absorber(level.side),
                    "traded_base": level.traded,
                    "trades": level.trades,
                    "max_shown_base": level.shown_max,
                    "replenished_base": replenished(level),
                    "mid_change_ticks": (window.mid_change or 0.0) / self._tick,
                },
                thresholds={"turnover": max(MIN_TURNOVER, least), "replenished_share": MIN_REPLENISHED},
            )
            changed.append(self._open[key])
        over = [key for key, last in self._last.items() if second - last >= CLEAR_SECS]
        return changed + [self._open.pop(key).ended((self._last.pop(key) + 1) * 1000) for key in over]
