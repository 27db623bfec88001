"""VPIN: how one-sided trading is, per equal volume instead of per second.

The aggressor of every trade is known here. Published results rest on guessed aggressors and do not apply: compare the
value with its own history, and never read it as the probability of a crash.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from vibe_orderbook_mcp.analytics.rarity import rarity
from vibe_orderbook_mcp.analytics.windows import Quality

BUCKETS = 50
MIN_BUCKETS = 10
MIN_BASELINE = 30
KEPT_BUCKETS = 1_000


@dataclass(frozen=True, slots=True)
class Vpin:
    """`value` is None below ten buckets; `quality` partial below fifty. `rarity`: rank among earlier values."""

    value: float | None
    buckets: int
    quality: Quality
    rarity: float | None


@dataclass(frozen=True, slots=True)
class VolumeVpin:
    """VPIN of a symbol's newest trades, in buckets of this number of lots."""

    vpin: Vpin
    bucket_lots: int


class VolumeBuckets:
    """Trades in buckets of equal volume, in order of time; a trade across an edge is split.

    Add each trade once: O(1). Sizes are whole lots, so rounding never closes a bucket early.
    """

    __slots__ = ("_buy", "_filled", "_imbalances", "bucket_lots")

    def __init__(self, bucket_lots: int) -> None:
        if bucket_lots <= 0:
            raise ValueError("The volume of a bucket must be above 0.")
        self.bucket_lots = bucket_lots
        self._imbalances: deque[int] = deque(maxlen=KEPT_BUCKETS)  # |buys - sells| of each full bucket
        self._buy = 0
        self._filled = 0

    def add(self, lots: int, *, is_buy: bool) -> None:
        room = self.bucket_lots - self._filled
        if lots < room:
            self._filled += lots
            self._buy += lots if is_buy else 0
            return
        self._buy += room if is_buy else 0
        self._imbalances.append(abs(2 * self._buy - self.bucket_lots))
        whole, rest = divmod(lots - room, self.bucket_lots)
        self._imbalances.extend([self.bucket_lots] * min(whole, KEPT_BUCKETS))
        self._filled = rest
        self._buy = rest if is_buy else 0

    @property
    def imbalances(self) -> tuple[int, ...]:
        """Lots of |buys - sells| in each full bucket, oldest first."""
        return tuple(self._imbalances)

    @property
    def newest(self) -> VolumeVpin:
        return VolumeVpin(self.vpin(), self.bucket_lots)

    def vpin(self, buckets: int = BUCKETS) -> Vpin:
        """Over the last full buckets; the open one is left out."""
        kept = self.imbalances
        used = min(buckets, len(kept))
        if used < MIN_BUCKETS:
            return Vpin(None, used, "insufficient", None)
        value = self._mean(kept[-used:])
        if used < buckets:
            return Vpin(value, used, "partial", None)
        before = [self._mean(kept[stop - buckets : stop]) for stop in range(buckets, len(kept))]
        return Vpin(value, used, "ok", rarity(before, value) if len(before) >= MIN_BASELINE else None)

    def _mean(self, imbalances: tuple[int, ...]) -> float:
        return sum(imbalances) / (len(imbalances) * self.bucket_lots)


def bucket_lots(day_lots: int) -> int:
    """A fiftieth of the trailing day's volume."""
    return max(1, day_lots // BUCKETS)
