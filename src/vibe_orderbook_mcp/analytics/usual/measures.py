"""The figures that show how unusual a second is, each against the symbol's own past.

`Measuring.second` returns one `Measures` a second: a plain value that detectors and health read. An unknown figure is
None, never 0.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from math import log2
from typing import Final, NamedTuple

from vibe_orderbook_mcp.analytics.numbers import ratio
from vibe_orderbook_mcp.analytics.usual.baseline import Baseline, SideUsual
from vibe_orderbook_mcp.analytics.usual.figures import Sample
from vibe_orderbook_mcp.analytics.usual.own_rate import MEASURES, Levels, Measure
from vibe_orderbook_mcp.analytics.usual.price_moves import PriceMoves
from vibe_orderbook_mcp.model.events import Side, TakerGroup
from vibe_orderbook_mcp.model.rows import SecondRow

SPREAD_FLOOR_BPS: Final = 0.5  # spreads below this, or below a tick, are all equally tight
VOLUME_SECS: Final = 60
VOLUME_ENOUGH: Final = 57  # of the seconds; below 1 the sum is a lower bound
LASTING_SECS: Final = 3
BEFORE_FIRST, BEFORE_LAST, TRADED_SECS = 10, 5, 5  # seconds back
LEAST_SHARE: Final = 1e-3
LEFT_WEIGHT: Final = 0.76  # 0.12 of the usual depth left counts as much as four fifths withdrawn


UNKNOWN_LEVELS: Final = (None,) * len(MEASURES)
_SAME: Final[dict[tuple[int | None, ...], tuple[int | None, ...]]] = {}  # nearly all seconds have the same few


class Measures(NamedTuple):
    """One second. Depths are of the symbol's own band (`band_bps`), in quote units."""

    second: int
    mid: float | None = None
    price_z: float | None = None  # largest move over 1, 10, 60 s against the volatility of the hour before
    move_bps: float | None = None  # that move, signed
    move_secs: int | None = None
    volume_times: float | None = None  # quote volume of the last 60 s / that of a mean minute of the last day
    buy_share: float | None = None  # of that volume, 0 to 1
    sweep_share: float | None = None  # largest taker group at three prices or more / usual depth of the side it hit
    withdrawn: float | None = None  # share of a side's depth withdrawn untraded within about 5 s, 0 to 1
    depth_left: float | None = None  # `depth_share`, the largest of the last three seconds
    depth: float | None = None  # the two in halvings: 1 is half of it, 2 a quarter
    spread_lasting: float | None = None  # `spread_times`, the median of the last three seconds
    spread_times: float | None = None  # time-weighted spread of this second / its median of the last day
    spread_bps: float | None = None
    spread_usual_bps: float | None = None
    depth_share: float | None = None  # amount / usual amount, of the side with the lower ratio
    thin_side: Side | None = None  # that side
    cost_times: float | None = None  # cost of taking a quarter of a usual side / its median of the last day
    cost_bps: float | None = None
    band_bps: int | None = None
    sweeps: tuple[TakerGroup, ...] = ()  # the largest of each side
    update_surge: float | None = None  # updates / the hour's median: a burst, except that the price moved
    levels: tuple[int | None, ...] = UNKNOWN_LEVELS  # of MEASURES: 0 usual, 1 unusual, 2 rare

    def values(self) -> dict[Measure, float]:
        """The known ones of the five measures of a shock."""
        five = (self.price_z, self.volume_times, self.sweep_share, self.depth, self.spread_lasting)
        return {measure: value for measure, value in zip(MEASURES, five, strict=True) if value is not None}

    def level(self, measure: Measure) -> int | None:
        return self.levels[MEASURES.index(measure)]

    def judged(self, reached: Levels, update_surge: float | None) -> Measures:
        """The same with the level of each measure."""
        levels = tuple(reached[measure].level if measure in reached else None for measure in MEASURES)
        return self._replace(levels=_SAME.setdefault(levels, levels), update_surge=update_surge)


def spread_floor_bps(tick: float, mid: float) -> float:
    """Spreads below this are all equally tight."""
    return max(1e4 * tick / mid, SPREAD_FLOOR_BPS)


def spread_times(spread_bps: float, usual_bps: float, floor_bps: float) -> float:
    return max(spread_bps, floor_bps) / max(usual_bps, floor_bps)


def withdrawn_share(before: float, now: float, traded: float) -> float | None:
    """Share of the earlier depth that left untraded; 0 if depth grew. None: there was no depth."""
    return max(0.0, (before - now - traded) / before) if before > 0.0 else None


def depth_octaves(withdrawn: float | None, left: float | None) -> float | None:
    """Halvings of depth: withdrawn 0.6 or left 0.3 is 1.32, withdrawn 0.8 or left 0.12 is 2.32."""
    parts = []
    if withdrawn is not None:
        parts.append(-log2(max(1.0 - withdrawn, LEAST_SHARE)))
    if left is not None:
        parts.append(-LEFT_WEIGHT * log2(max(left, LEAST_SHARE)))
    return max(parts, default=None)


def lasting(values: Sequence[float | None]) -> list[float] | None:
    """The values of the newest three seconds, ascending. None unless each of them has one."""
    known = sorted(value for value in values if value is not None)
    return known if len(known) == LASTING_SECS else None


class _Kept(NamedTuple):
    """The values of a second that later seconds need."""

    second: int
    bids: Sequence[float | None]
    asks: Sequence[float | None]
    buy_quote: float
    sell_quote: float
    depth_share: float | None
    spread_times: float | None

    def bid(self, place: int) -> float | None:
        return self.bids[place] if place < len(self.bids) else None

    def ask(self, place: int) -> float | None:
        return self.asks[place] if place < len(self.asks) else None


class Measuring:
    """Call `second` for every row in order, before the baseline counts the row."""

    def __init__(self, tick: float) -> None:
        self._tick = tick
        self.prices = PriceMoves(tick)
        self._recent: deque[_Kept] = deque()

    def second(
        self, row: SecondRow, sample: Sample | None, baseline: Baseline, sweeps: Sequence[TakerGroup] | None = None
    ) -> Measures:
        """`sample` is None for a second without a usable book; its trades still count. `sweeps` is None if the taker
        groups of the second are unknown.
        """
        usual = baseline.usual_depth
        moved = self.prices.second(row)
        share, side = _depth_share(sample, usual)
        spread, spread_usual, times = None, baseline.median_spread_bps, None
        if sample is not None and (spread := sample.spread_bps) is not None and spread_usual is not None:
            times = spread_times(spread, spread_usual, spread_floor_bps(self._tick, sample.mid or 1.0))
        self._remember(row, sample, share, times)
        withdrawn = self._withdrawn(usual)
        newest = self._last(LASTING_SECS)
        shares, spreads = (
            lasting([each.depth_share for each in newest]),
            lasting([each.spread_times for each in newest]),
        )
        left = None if shares is None else shares[-1]
        cost = None if sample is None or usual is None else sample.costs_bps.get(usual.place)
        volume, buy_share = self._volume(baseline.mean_quote)
        return Measures(
            second=row.second,
            mid=row.mid,
            price_z=None if moved is None else moved.z,
            move_bps=None if moved is None else moved.bps,
            move_secs=None if moved is None else moved.secs,
            volume_times=volume,
            buy_share=buy_share,
            sweep_share=_sweep_share(sweeps, usual),
            withdrawn=withdrawn,
            depth_left=left,
            depth=depth_octaves(withdrawn, left),
            spread_lasting=None if spreads is None else spreads[LASTING_SECS // 2],
            spread_times=times,
            spread_bps=spread,
            spread_usual_bps=spread_usual,
            depth_share=share,
            thin_side=side,
            cost_times=None if cost is None else _times(cost, baseline.median_cost_bps),
            cost_bps=cost,
            band_bps=None if usual is None else usual.band_bps,
            sweeps=tuple(sweeps or ()),
        )

    def precede(self, older: Measuring) -> None:
        """Add the seconds of an earlier object before these."""
        self.prices.precede(older.prices)

    def _remember(self, row: SecondRow, sample: Sample | None, share: float | None, times: float | None) -> None:
        bids, asks = ((), ()) if sample is None else (sample.bids, sample.asks)
        self._recent.append(_Kept(row.second, bids, asks, row.buy_quote, row.sell_quote, share, times))
        while self._recent[0].second <= row.second - VOLUME_SECS:
            self._recent.popleft()

    def _last(self, count: int) -> list[_Kept]:
        """The newest seconds, oldest first; fewer where one is missing."""
        newest = self._recent[-1].second
        places = range(max(0, len(self._recent) - count), len(self._recent))
        return [each for place in places if (each := self._recent[place]).second > newest - count]

    def _withdrawn(self, usual: SideUsual | None) -> float | None:
        """The larger share of the two sides, against the least depth of the seconds before: a flickering wall does not
        count."""
        known = self._last(BEFORE_FIRST + 1)
        if usual is None or len(known) <= BEFORE_FIRST:
            return None
        shares = []
        for amounts, traded in (
            ([each.bid(usual.place) for each in known], [each.sell_quote for each in known]),
            ([each.ask(usual.place) for each in known], [each.buy_quote for each in known]),
        ):
            shown = [amount for amount in amounts if amount is not None]
            if len(shown) == len(known):  # else there is a gap, and its trades are unknown
                before = min(shown[: BEFORE_FIRST - BEFORE_LAST + 1])
                shares.append(withdrawn_share(before, shown[-1], sum(traded[-TRADED_SECS:])))
        return max((share for share in shares if share is not None), default=None)

    def _volume(self, mean_quote: float | None) -> tuple[float | None, float | None]:
        if len(self._recent) < VOLUME_ENOUGH:
            return None, None
        buys = sum(each.buy_quote for each in self._recent)
        volume = buys + sum(each.sell_quote for each in self._recent)
        times = None if not mean_quote else volume / (VOLUME_SECS * mean_quote)
        return times, ratio(buys, volume)


def _depth_share(sample: Sample | None, usual: SideUsual | None) -> tuple[float | None, Side | None]:
    """Each side against its own usual amount, and the side with the lower ratio."""
    if sample is None or usual is None or len(sample.bids) <= usual.place or len(sample.asks) <= usual.place:
        return None, None
    bid, ask = sample.bids[usual.place], sample.asks[usual.place]
    if bid is None or ask is None:
        return None, None
    bids, asks = bid / usual.bid, ask / usual.ask
    return (bids, "bid") if bids <= asks else (asks, "ask")


def share_of_usual(group: TakerGroup, usual: SideUsual) -> float:
    """Share of the usual depth of the side that it hit; the depth at that moment was just emptied."""
    return group.quote / (usual.bid if group.side == "bid" else usual.ask)


def _sweep_share(sweeps: Sequence[TakerGroup] | None, usual: SideUsual | None) -> float | None:
    """Of the largest; 0 if every taker group of the second had fewer than three prices."""
    if sweeps is None or usual is None:
        return None
    return max((share_of_usual(group, usual) for group in sweeps), default=0.0)


def _times(value: float, usual: float | None) -> float | None:
    return None if usual is None else ratio(value, usual)
