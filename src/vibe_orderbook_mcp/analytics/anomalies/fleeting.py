"""Fleeting liquidity: walls near mid that vanish within ten seconds, hardly traded.

A single one means nothing: on every exchange many quotes are withdrawn within seconds. A cluster is three on one side
within a minute, all so large that chance brings such a cluster less than once in ten days. That chance follows from the
rate at which the symbol's own fleeting walls reach that size (`tails.three_within`). The number of small ones means
nothing: they come in swarms where the book is thin.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from math import exp, log
from statistics import median
from typing import Final

from vibe_orderbook_mcp.analytics.findings import Finding, Severity
from vibe_orderbook_mcp.analytics.usual.baseline import Baseline
from vibe_orderbook_mcp.analytics.usual.tails import ALARMS_A_DAY
from vibe_orderbook_mcp.analytics.usual.trailing import MAD_TO_SIGMA
from vibe_orderbook_mcp.analytics.walls import MIN_SHARE, MIN_Z, nearest_groups
from vibe_orderbook_mcp.book.book import BookSide
from vibe_orderbook_mcp.model.events import SIDES, Side
from vibe_orderbook_mcp.seconds.wall_watch import WallLife, WallLimits

LONGEST_LIFE_MS: Final = 10_000
MOST_TRADED: Final = 0.05
WINDOW_SECS: Final = 60
KEPT_SECS: Final = 300  # the longest window of a tool
AFTER_SECS: Final = 5
MIN_CLUSTER: Final = 3
SIDE_MINUTES_A_DAY: Final = 2 * 1440
BAND_BPS: Final = 50
# A wall must stand out from this many price groups next to mid; with fewer there is no verdict.
GROUPS_MOST: Final = 40
GROUPS_LEAST: Final = 12


def wall_limits(bids: BookSide, asks: BookSide, tick: float) -> WallLimits | None:
    """The least size with which one level stands out among the nearest groups now, within 50 bps of mid. None
    without a mid."""
    best_bid, best_ask = bids.best, asks.best
    if best_bid is None or best_ask is None or best_bid >= best_ask:
        return None
    middle = best_bid + (best_ask - best_bid) / 2
    reach = middle * BAND_BPS / 1e4
    bid_size, ask_size = [_least_size(nearest_groups(side, middle, tick, GROUPS_MOST)) for side in (bids, asks)]
    return WallLimits(bid_size, ask_size, middle - reach, middle + reach)


def _least_size(sizes: Sequence[float]) -> float | None:
    if len(sizes) < GROUPS_LEAST:
        return None
    logs = [log(size) for size in sizes]
    centre = median(logs)
    sigma = MAD_TO_SIGMA * median([abs(value - centre) for value in logs])
    if sigma == 0.0:
        return None
    # A new level must be this share of a total that includes the level itself.
    return max(exp(centre + MIN_Z * sigma), sum(sizes) * MIN_SHARE / (1 - MIN_SHARE))


def is_fleeting(life: WallLife) -> bool:
    return life.died_ms - life.born_ms < LONGEST_LIFE_MS and life.traded <= MOST_TRADED * life.peak


@dataclass(slots=True)
class _Gone:
    life: WallLife
    mid: float | None
    share: float | None  # share of the usual depth; None: unknown
    moved: bool = False


def _since(gone: deque[_Gone], since_ms: int) -> list[_Gone]:
    """Walls that vanished since then, oldest first. `walls` are in the order of their ends."""
    newest = list(takewhile(lambda each: each.life.died_ms >= since_ms, reversed(gone)))
    return newest[::-1]


@dataclass(frozen=True, slots=True)
class FleetingCount:
    """One side's walls of some seconds."""

    walls: int
    notional_quote: float
    opposite_share: float | None  # after how many of them mid moved away from their side within 5 s


class FleetingWalls:
    """Both sides' short-lived walls: the last minute's for the verdict, five minutes' for questions."""

    def __init__(self) -> None:
        self._gone: dict[Side, deque[_Gone]] = {"bid": deque(), "ask": deque()}
        self._open: dict[Side, Finding] = {}

    @property
    def open(self) -> list[Finding]:
        return list(self._open.values())

    def add(self, second: int, lives: Iterable[WallLife], mid: float | None, baseline: Baseline) -> None:
        """A second's ended walls, and mid at its end."""
        usual = _usual_depth(baseline)
        for life in lives:
            if is_fleeting(life):
                share = None if usual is None else life.peak * life.price / usual
                self._gone[life.side].append(_Gone(life, mid, share))
                if share is not None:
                    baseline.count_event("fleeting", second, log(share))
        start_ms = (second + 1) * 1000
        for side, gone in self._gone.items():
            while gone and gone[0].life.died_ms < start_ms - KEPT_SECS * 1000:
                gone.popleft()
            direction = 1 if side == "bid" else -1
            for each in _since(gone, start_ms - (AFTER_SECS + 1) * 1000):
                if each.mid is not None and mid is not None:
                    each.moved = each.moved or (mid - each.mid) * direction > 0.0

    def count(self, side: Side, since_ms: int) -> FleetingCount:
        """The walls that vanished since then, at most five minutes back."""
        gone = _since(self._gone[side], since_ms)
        return FleetingCount(
            len(gone),
            sum(each.life.peak * each.life.price for each in gone),
            sum(each.moved for each in gone) / len(gone) if gone else None,
        )

    def second(self, second: int, baseline: Baseline) -> list[Finding]:
        """Findings that changed, after `add`."""
        return [found for side in SIDES if (found := self._side(second, side, baseline)) is not None]

    def _side(self, second: int, side: Side, baseline: Baseline) -> Finding | None:
        since_ms = (second + 1 - WINDOW_SECS) * 1000
        gone = _since(self._gone[side], since_ms)
        walls, known = len(gone), self._open.get(side)
        if walls < MIN_CLUSTER:
            return None if known is None else self._open.pop(side).ended((second + 1) * 1000)
        if known is not None and walls <= int(known.evidence["fleeting_walls"]):
            return None
        shares = sorted((each.share for each in gone if each.share is not None), reverse=True)
        if not baseline.is_ready or len(shares) < MIN_CLUSTER:
            return None
        third = shares[MIN_CLUSTER - 1]
        by_chance = baseline.three_fleeting(third, sum(share >= third for share in shares))
        if by_chance is None or (known is None and by_chance * SIDE_MINUTES_A_DAY > ALARMS_A_DAY):
            return None
        minutes = baseline.side_minutes
        count = self.count(side, since_ms)
        finding = Finding(
            type="fleeting_cluster",
            start_ms=gone[0].life.born_ms if known is None else known.start_ms,
            end_ms=None,
            severity=severity_of(walls),
            rarity=max(0.0, 1.0 - max(by_chance, 1 / (minutes + 1))),
            n_eff=float(minutes),
            side=side,
            evidence={
                "fleeting_walls": walls,
                "notional_quote": count.notional_quote,
                "third_largest_times_usual_depth": third,
                **({} if count.opposite_share is None else {"opposite_share": count.opposite_share}),
            },
            thresholds={"fleeting_walls": MIN_CLUSTER, "by_chance_a_day": ALARMS_A_DAY},
        )
        self._open[side] = finding
        return finding if known is None or known.severity != finding.severity else None


def severity_of(walls: int) -> Severity:
    return "High" if walls >= 12 else "Medium" if walls >= 6 else "Low"


def _usual_depth(baseline: Baseline) -> float | None:
    """Depth of the thinner side within 50 bps, or 25 if less of the book is known: the trailing hour's median."""
    return baseline.median("depth_50") or baseline.median("depth_25")
