"""Market shocks: price moved, something was traded, and something is rare.

Each second has five measures, each compared with the symbol's own past (`measures`, `own_rate`). A level counts for
thirty seconds after a measure reached it. A shock opens when price is at level 1 or above, volume or sweep is too, and
any of the five is at level 2. It is one event, updated while it lasts. It ends after a minute with nothing at level 1.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from math import log
from typing import Final, NamedTuple

import msgspec

from vibe_orderbook_mcp.analytics.findings import SEVERITIES, Component, Evidence, Finding, Severity, SweepFacts
from vibe_orderbook_mcp.analytics.numbers import ratio
from vibe_orderbook_mcp.analytics.usual.baseline import SideUsual
from vibe_orderbook_mcp.analytics.usual.measures import Measures, share_of_usual
from vibe_orderbook_mcp.analytics.usual.own_rate import FLOORS, Levels, Measure
from vibe_orderbook_mcp.model.events import TakerGroup
from vibe_orderbook_mcp.model.rows import SecondRow

COUNTS_SECS: Final = 30
CLEAR_SECS: Final = 60
CRITICAL_Z: Final = 15.0
SWEEPS_TOLD: Final = 3
RARE: Final = 2


class _Second(NamedTuple):
    """The values of a second that a later shock needs."""

    second: int
    mid: float | None
    reached: Levels
    bought: float
    sold: float
    sweeps: tuple[SweepFacts, ...]
    surge: float | None


def shock_severity(levels: Mapping[Measure, int], price_z: float) -> Severity | None:
    """Severity from the recent levels. None: no shock."""
    rare = sum(level >= RARE for level in levels.values())
    traded = max(levels.get("volume", 0), levels.get("sweep", 0))
    if levels.get("price", 0) < 1 or traded < 1 or rare < 1:
        return None
    return "Critical" if rare >= 3 or price_z >= CRITICAL_Z else "High" if rare == RARE else "Medium"


class _Episode:
    """A shock while it lasts."""

    def __init__(self, start: int, mid_before: float | None, severity: Severity) -> None:
        self.start = start
        self.mid_before = mid_before
        self.severity = severity
        self.peak_z = 0.0
        self.peak = start
        self.peak_mid = mid_before
        self.components: dict[Measure, Component] = {}
        self.sweeps: list[SweepFacts] = []
        self.bought = self.sold = 0.0
        self.surge: float | None = None

    def add(self, each: _Second) -> None:
        for measure, (value, level) in each.reached.items():
            known = self.components.get(measure)
            if known is None or (level or 0, value) > (known.level, known.value):
                self.components[measure] = Component(value, level or 0, each.second * 1000)
        price = each.reached.get("price")
        if price is not None and price.value > self.peak_z and each.mid is not None:
            self.peak_z, self.peak, self.peak_mid = price.value, each.second, each.mid
        self.bought += each.bought
        self.sold += each.sold
        if each.sweeps:
            self.sweeps = sorted([*self.sweeps, *each.sweeps], key=lambda sweep: -(sweep.share or 0.0))[:SWEEPS_TOLD]
        if each.surge is not None:
            self.surge = max(self.surge or 0.0, each.surge)

    @property
    def size_bps(self) -> float | None:
        """From mid before the first second to mid at the peak."""
        return _bps(self.mid_before, self.peak_mid)

    def retraced(self, mid: float | None) -> float | None:
        """The share of the move that mid has given back so far; below 0 if the move went on."""
        size, back = self.size_bps, _bps(mid, self.peak_mid)
        return None if not size or back is None else ratio(back, size)

    def finding(self) -> Finding:
        size = self.size_bps
        evidence: Evidence = {}
        if size is not None:
            evidence |= {"direction": "up" if size > 0 else "down" if size < 0 else "none", "size_bps": size}
        evidence |= {
            "peak_secs": self.peak + 1 - self.start,
            "buy_volume_quote": self.bought,
            "sell_volume_quote": self.sold,
        }
        if self.surge is not None:
            evidence["updates_times_median"] = self.surge
        return Finding(
            type="market_shock",
            start_ms=self.start * 1000,
            end_ms=None,
            severity=self.severity,
            rarity=None,
            evidence=evidence,
            thresholds={
                f"{measure}_level_{k}": floor for measure in FLOORS for k, floor in enumerate(FLOORS[measure], 1)
            },
            components={str(measure): each for measure, each in self.components.items()},
            sweeps=tuple(self.sweeps),
        )


class MarketShocks:
    """`second` for every second in turn."""

    def __init__(self) -> None:
        self._recent: deque[_Second] = deque()
        self._episode: _Episode | None = None
        self._open: Finding | None = None
        self._last = 0  # the newest second with anything at level 1

    @property
    def open(self) -> Finding | None:
        return self._open

    def second(
        self, row: SecondRow, measures: Measures, reached: Levels, usual: SideUsual | None, surge: float | None
    ) -> Finding | None:
        """The finding that changed. `surge`: updates / the hour's median, in a burst while mid moved."""
        sweeps = tuple(_sweep(group, usual) for group in measures.sweeps)
        newest = _Second(row.second, row.mid, reached, row.buy_quote, row.sell_quote, sweeps, surge)
        recent = self._recent
        recent.append(newest)
        while recent[0].second <= row.second - COUNTS_SECS - 1:  # one more: its mid is the price before
            recent.popleft()
        if any(level for _, level in reached.values()):
            self._last = row.second
        severity = self._severity(row.second)
        if self._episode is None:
            return None if severity is None else self._begin(severity)
        return self._go_on(self._episode, newest, severity)

    def _severity(self, second: int) -> Severity | None:
        levels: dict[Measure, int] = {}
        price_z = 0.0
        for each in self._recent:
            if each.second <= second - COUNTS_SECS:
                continue
            for measure, (value, level) in each.reached.items():
                levels[measure] = max(levels.get(measure, 0), level or 0)
                if measure == "price":
                    price_z = max(price_z, value)
        return shock_severity(levels, price_z)

    def _begin(self, severity: Severity) -> Finding:
        """It began with the first of the seconds that count."""
        counting = [each for each in self._recent if each.second > self._recent[-1].second - COUNTS_SECS]
        start = next(each.second for each in counting if any(level for _, level in each.reached.values()))
        before = [each.mid for each in self._recent if each.second < start and each.mid is not None]
        inside = [each for each in counting if each.second >= start]
        mid = before[-1] if before else next((each.mid for each in inside if each.mid is not None), None)
        self._episode = _Episode(start, mid, severity)
        for each in inside:
            self._episode.add(each)
        self._open = self._episode.finding()
        return self._open

    def _go_on(self, episode: _Episode, newest: _Second, severity: Severity | None) -> Finding | None:
        if newest.second - self._last >= CLEAR_SECS:
            return self._close(episode, newest.mid)
        episode.add(newest)
        rises = severity is not None and SEVERITIES.index(severity) > SEVERITIES.index(episode.severity)
        if rises and severity is not None:
            episode.severity = severity
        self._open = episode.finding()
        return self._open if rises else None

    def _close(self, episode: _Episode, mid: float | None) -> Finding:
        finding = episode.finding()
        if (retraced := episode.retraced(mid)) is not None:
            finding = msgspec.structs.replace(finding, evidence={**finding.evidence, "retraced": retraced})
        self._episode = self._open = None
        return finding.ended((self._last + 1) * 1000)


def _sweep(group: TakerGroup, usual: SideUsual | None) -> SweepFacts:
    return SweepFacts(
        at_ms=group.time_ms,
        side=group.side,
        prices=group.prices,
        quote=group.quote,
        share=None if usual is None else share_of_usual(group, usual),
        slippage_bps=group.slippage_bps,
        reach_bps=group.reach_bps,
        levels_cleared=group.levels_cleared,
        burst_quote=group.burst_quote,
    )


def _bps(before: float | None, after: float | None) -> float | None:
    return None if not before or not after else 1e4 * log(after / before)
