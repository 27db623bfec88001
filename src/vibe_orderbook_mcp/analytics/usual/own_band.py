"""The symbol's own band: the distance from mid within which its depth is steady enough for comparisons.

10 bps are one level of one coin and a hundred levels of another. The own band is the narrowest stored band that is wide
against the spread and the tick, has a steady thinner side, and is hardly ever empty.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from math import isnan, log, nan
from typing import Final, NamedTuple

import msgspec

from vibe_orderbook_mcp.analytics.usual.figures import NOTHING, Sample, transform
from vibe_orderbook_mcp.analytics.usual.histograms import Pool
from vibe_orderbook_mcp.analytics.usual.trailing import MAD_TO_SIGMA, Trailing
from vibe_orderbook_mcp.model.rows import BANDS_BPS

HOUR_SECS: Final = 3600
DAY_SECS: Final = 86_400
WIDTH_IN_SPREADS: Final = 4
WIDTH_IN_TICKS: Final = 4
LOG_SD_MOST: Final = 0.35
EMPTY_MOST: Final = 0.001
KNOWN_LEAST: Final = 0.99
FIRST_SECS: Final = 900
SETTLED_SECS: Final = HOUR_SECS
DROP_EVERY: Final = 256


class BandFacts(NamedTuple):
    """Facts about one band, from a day of seconds."""

    log_sd: float  # robust, of ln(amount of the thinner side)
    empty: float  # share of the seconds with an empty side
    known: float = 1.0  # share of the seconds in which the known book reached that far


class BandChoice(msgspec.Struct, frozen=True, array_like=True):
    """The band in use, and the band that the last daily check would choose."""

    bps: int
    day: int  # of the last check, counted from the epoch
    is_settled: bool = True  # False: chosen from less than an hour
    candidate: int = 0  # choice of the last check; 0: the one in use
    before: int = 0  # in use until the last check; 0: the same as now, or none

    def after(self, chosen: int, day: int) -> BandChoice:
        """The daily check. A new band must be the choice on two days in a row."""
        if chosen == self.bps:
            return BandChoice(self.bps, day)
        if chosen == self.candidate:
            return BandChoice(chosen, day, before=self.bps)
        return BandChoice(self.bps, day, candidate=chosen)


def own_band(spread_bps: float, tick_bps: float, facts: Mapping[int, BandFacts]) -> int | None:
    """The width in bps; None if no band is known nearly all of the time.

    If no band is steady it is the widest known one.
    """
    need = max(WIDTH_IN_SPREADS * spread_bps, WIDTH_IN_TICKS * tick_bps)
    known = [bps for bps in sorted(facts) if facts[bps].known >= KNOWN_LEAST]
    for bps in known:
        if bps >= need and facts[bps].log_sd <= LOG_SD_MOST and facts[bps].empty <= EMPTY_MOST:
            return bps
    return known[-1] if known else None


def band_change_text(before_bps: int | None, now_bps: int | None) -> str | None:
    """A warning for comparisons with an earlier answer. None: the band is the same."""
    if before_bps is None or now_bps is None:
        return None
    return (
        f"The symbol's own band changed at its last choice: band_bps was {before_bps} and is {now_bps} now. Depths from"
        " before and after that are not comparable."
    )


def facts_of(pools: Sequence[Pool]) -> dict[int, BandFacts]:
    """From the logarithms of the thinner side's amounts, a pool for each of BANDS_BPS.

    The best known band is the one with most values: coverage of the others is measured against it.
    """
    seconds = max((pool.n for pool in pools), default=0)
    return {
        bps: BandFacts(robust_sd(pool), 1 - pool.from_(log(NOTHING) + 1.0) / pool.n, pool.n / seconds)
        for bps, pool in zip(BANDS_BPS, pools, strict=True)
        if pool.n
    }


def robust_sd(pool: Pool) -> float:
    """1.4826 * median |value - median|, to the bin. 0 for an empty pool."""
    middle = pool.quantile(0.5)
    if middle is None:
        return 0.0
    distances = sorted((abs(value - middle), count) for value, count in pool.items())
    below = 0
    for distance, count in distances:
        below += count
        if 2 * below >= pool.n:
            return MAD_TO_SIGMA * distance
    return 0.0


class OwnBand:
    """The choice, and the trailing hour within every band, so that a new choice has its hour at once."""

    def __init__(self) -> None:
        self.choice: BandChoice | None = None
        self._seconds = array("q")
        self._thin = array("f")  # of each second, for each of BANDS_BPS; nan: unknown

    @property
    def place(self) -> int | None:
        """Index of the own band in BANDS_BPS. None below 15 minutes."""
        return None if self.choice is None else BANDS_BPS.index(self.choice.bps)

    @property
    def wanted(self) -> Sequence[int]:
        """Indices of the own band and of those that may become it: all of them during the first hour."""
        choice = self.choice
        if choice is None or not choice.is_settled:
            return range(len(BANDS_BPS))
        return [BANDS_BPS.index(bps) for bps in (choice.bps, choice.candidate) if bps]

    def add(self, second: int, sample: Sample) -> None:
        """The next second that counts."""
        thin = (sample.thin(place) for place in range(len(BANDS_BPS)))
        self._seconds.append(second)
        self._thin.extend([nan if amount is None else amount for amount in thin])
        if len(self._seconds) >= HOUR_SECS + DROP_EVERY:
            del self._seconds[:DROP_EVERY], self._thin[: DROP_EVERY * len(BANDS_BPS)]

    def look(self, second: int, spread_bps: float, tick_bps: float, pools: Sequence[Pool]) -> bool:
        """Choose from the last day after 15 minutes, after an hour, and at each midnight UTC.

        Returns whether the band changed. `pools` as for `facts_of`.
        """
        choice, day = self.choice, second // DAY_SECS
        seconds = max(pool.n for pool in pools)
        if choice is not None and choice.is_settled:
            is_due = day > choice.day
        else:
            is_due = seconds >= (FIRST_SECS if choice is None else SETTLED_SECS)
        found = own_band(spread_bps, tick_bps, facts_of(pools)) if is_due else None
        if found is None:
            return False
        if choice is not None and choice.is_settled:
            self.choice = choice.after(found, day)
        else:
            before = choice.bps if choice is not None and choice.bps != found else 0
            self.choice = BandChoice(found, day, is_settled=seconds >= SETTLED_SECS, before=before)
        return choice is None or choice.bps != self.choice.bps

    def trailing(self) -> Trailing:
        """The hour's amounts of the thinner side within the own band, on the scale of `depth_own`."""
        out, place = Trailing(HOUR_SECS), self.place
        if place is not None:
            for second, amount in zip(self._seconds, self._thin[place :: len(BANDS_BPS)], strict=True):
                if not isnan(amount):
                    out.add(second, transform("depth_own", amount))
        return out

    def precede(self, older: OwnBand) -> None:
        """Add the seconds of an earlier object before these. Its choice counts, since it rests on more data."""
        self._seconds, self._thin = older._seconds + self._seconds, older._thin + self._thin
        self.choice = older.choice or self.choice
