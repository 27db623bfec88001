"""Moves of mid against the volatility of the hour before.

After Lee & Mykland's test for jumps (local volatility as the yardstick); the cap, the tick and the horizons are ours.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from math import ceil, floor, log, sqrt
from typing import Final, NamedTuple

from vibe_orderbook_mcp.analytics.usual.trailing import Trailing
from vibe_orderbook_mcp.model.rows import RowFlag, SecondRow

HORIZONS_SECS: Final = (1, 10, 60)
GRID_SECS: Final = 10
HOUR_SECS: Final = 3600
LEFT_OUT_SECS: Final = 60  # the newest minute is the one being judged
VALUE_SECS: Final = 900
RETURNS_NEEDED: Final = (VALUE_SECS - LEFT_OUT_SECS) // GRID_SECS
CAP_QUANTILE: Final = 0.98
BREAKS: Final = int(RowFlag.GAP | RowFlag.RESYNC | RowFlag.CROSSED | RowFlag.DISCONNECTED | RowFlag.PARTIAL)


class LargestMove(NamedTuple):
    """The move with the largest ratio to the usual move of its horizon."""

    z: float
    bps: float
    secs: int


def quantile(ordered: Sequence[float], share: float) -> float:
    """Type 7, as numpy and R do by default. `ordered` ascends and is not empty."""
    at = (len(ordered) - 1) * share
    low, high = floor(at), ceil(at)
    return ordered[low] + (ordered[high] - ordered[low]) * (at - low)


def second_variance(ordered_squares: Sequence[float]) -> float:
    """bps^2 a second, from ascending squared returns over 10 s: each counts as their 0.98 quantile at most, so that
    one jump does not blind the test to the next.
    """
    cap = quantile(ordered_squares, CAP_QUANTILE)
    return sum(min(square, cap) for square in ordered_squares) / len(ordered_squares) / GRID_SECS


def price_z(move_bps: float, secs: int, variance: float, tick_bps: float) -> float:
    """|move| / max(sqrt(variance * secs), one tick): so a single tick of a quiet coin is not an event."""
    return abs(move_bps) / max(sqrt(variance * secs), tick_bps)


class PriceMoves:
    """Call `second` for every row in order."""

    def __init__(self, tick: float) -> None:
        self._tick = tick
        self._mids: deque[float | None] = deque(maxlen=HORIZONS_SECS[-1] + 1)  # at the ends of seconds without a break
        self._newest = -1
        self._waiting: deque[tuple[int, float]] = deque()  # squared returns of the newest minute
        self._squares = Trailing(HOUR_SECS - LEFT_OUT_SECS, GRID_SECS)
        self._variance: float | None = None

    @property
    def variance(self) -> float | None:
        """bps^2 a second over the trailing hour; None below 15 minutes."""
        return self._variance

    @property
    def known_secs(self) -> int:
        """Known seconds of the trailing hour; the first value needs 15 minutes."""
        return LEFT_OUT_SECS + GRID_SECS * len(self._squares)

    def second(self, row: SecondRow) -> LargestMove | None:
        """The move that ends with this second. None: no mid, a break, or too little history."""
        if row.second != self._newest + 1 or row.flags & BREAKS:
            self._mids.clear()
        self._newest = row.second
        if not row.flags & BREAKS:
            self._mids.append(row.mid)
        if (row.second + 1) % GRID_SECS == 0:
            self._step(row.second)
        return self._largest(row.mid)

    def move_bps(self, secs: int) -> float | None:
        """1e4 ln(mid now / mid `secs` ago). None across a break."""
        mids = self._mids
        if len(mids) <= secs:
            return None
        now, before = mids[-1], mids[-1 - secs]
        return None if not now or not before else 1e4 * log(now / before)

    def precede(self, older: PriceMoves) -> None:
        """Add the seconds of an earlier object before these."""
        older._settle(self._newest)
        older._squares.add_all(self._squares)
        self._squares = older._squares
        self._waiting.extendleft(reversed(older._waiting))
        self._weigh()

    def _largest(self, mid: float | None) -> LargestMove | None:
        if self._variance is None or not mid:
            return None
        tick_bps = 1e4 * self._tick / mid
        best: LargestMove | None = None
        for secs in HORIZONS_SECS:
            if (bps := self.move_bps(secs)) is not None:
                z = price_z(bps, secs, self._variance, tick_bps)
                if best is None or z > best.z:
                    best = LargestMove(z, bps, secs)
        return best

    def _step(self, second: int) -> None:
        if (bps := self.move_bps(GRID_SECS)) is not None:
            self._waiting.append((second, bps * bps))
        self._settle(second)
        self._weigh()

    def _settle(self, now: int) -> None:
        """Count the returns that are now older than a minute."""
        self._squares.drop_before(now - HOUR_SECS + 1)
        while self._waiting and self._waiting[0][0] <= now - LEFT_OUT_SECS:
            self._squares.add(*self._waiting.popleft())

    def _weigh(self) -> None:
        squares = self._squares.ordered
        self._variance = second_variance(squares) if len(squares) >= RETURNS_NEEDED else None
