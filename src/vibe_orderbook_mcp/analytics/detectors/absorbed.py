"""Absorption (definition sheet 4.1) as it happens: the level rule over the last minute, looked at every few seconds."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from math import log
from typing import Final

from vibe_orderbook_mcp.analytics.absorption import (
    MIN_REPLENISHED,
    MIN_TURNOVER,
    absorber,
    level_absorption,
    replenished,
)
from vibe_orderbook_mcp.analytics.baseline import Baseline
from vibe_orderbook_mcp.analytics.findings import Finding
from vibe_orderbook_mcp.analytics.iceberg import LEVELS_NEEDED
from vibe_orderbook_mcp.analytics.windows import Span, cut
from vibe_orderbook_mcp.core.events import Side
from vibe_orderbook_mcp.core.rows import SecondRow

WINDOW_SECS: Final = 60
EVERY_SECS: Final = 5
# A level that a passing move of mid hides is still the same one.
CLEAR_SECS: Final = 30
# Among the levels that trades touch in a day, how rare a turnover must be to be told unasked.
MIN_RARITY: Final = 0.9995


class Absorptions:
    def __init__(self, tick: float) -> None:
        self._tick = tick
        self._open: dict[tuple[Side, float], Finding] = {}
        self._last: dict[tuple[Side, float], int] = {}  # the second in which each was last found

    @property
    def open(self) -> list[Finding]:
        return list(self._open.values())

    def second(self, second: int, rows: Sequence[SecondRow], baseline: Baseline) -> list[Finding]:
        """What changed. `rows` hold the last minute, ascending."""
        if second % EVERY_SECS or not (self._open or baseline.is_ready):
            return []
        recent = list(islice(reversed(rows), WINDOW_SECS + 1))[::-1]
        window = cut(recent, Span(second + 1 - WINDOW_SECS, second + 1))
        changed: list[Finding] = []
        for level in level_absorption(window, self._tick, baseline.median_minute_move_ticks):
            turnover = level.traded / level.shown_max
            standing = baseline.standing_level("turnover", log(turnover))
            if standing is None or standing.n < LEVELS_NEEDED or standing.rarity < MIN_RARITY:
                continue
            key = level.side, level.price
            self._last[key] = second
            if key in self._open:
                continue
            self._open[key] = Finding(
                type="absorption",
                start_ms=window.span.start * 1000,
                end_ms=None,
                severity="Low",
                rarity=standing.rarity,
                n_eff=standing.n_eff,
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
                thresholds={"turnover": MIN_TURNOVER, "replenished_share": MIN_REPLENISHED, "rarity": MIN_RARITY},
            )
            changed.append(self._open[key])
        over = [key for key, last in self._last.items() if second - last >= CLEAR_SECS]
        return changed + [self._open.pop(key).ended((self._last.pop(key) + 1) * 1000) for key in over]
