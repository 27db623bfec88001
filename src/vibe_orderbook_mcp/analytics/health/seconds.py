"""Health second by second: what each second of a window scores for spread, depth and price stability.

Each of these three components is the smaller of now (the median of the last three seconds) and the window (the mean of
its seconds' scores). A collapse shows from its second second. After its end the score returns at once to the window's
mean, and recovers fully when the window has passed. Flow and update rate cover the whole window.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from math import inf
from statistics import fmean, median
from typing import Final, Literal, NamedTuple

from vibe_orderbook_mcp.analytics.health.score import (
    Component,
    Part,
    activity_score,
    balance_score,
    depth_score,
    freshness_score,
    geometric_mean,
    spread_score,
    stability_score,
    thinner_score,
    wider_score,
)
from vibe_orderbook_mcp.analytics.numbers import ratio
from vibe_orderbook_mcp.analytics.usual.measures import Measures, spread_floor_bps, spread_times
from vibe_orderbook_mcp.analytics.usual.normal import MINUTE, Normal
from vibe_orderbook_mcp.analytics.windows import Cut
from vibe_orderbook_mcp.model.events import SIDES, Side
from vibe_orderbook_mcp.model.rows import BANDS_BPS, RowFlag, SecondRow

NOW_SECS: Final = 3
# Below this many updates a second silence is usual; the pace of the whole feed shows whether the connection is dead.
QUIET_UPDATES: Final = 1.0
# Without a baseline, depth is measured within 10 bps, or four ticks if that is more.
ABSOLUTE_BPS, ABSOLUTE_TICKS = 10.0, 4
# Seconds in which our book was lost or incomplete. They say nothing about the market and are not counted.
OURS: Final = int(RowFlag.GAP | RowFlag.RESYNC | RowFlag.DISCONNECTED | RowFlag.PARTIAL)
EMPTY: Final = int(RowFlag.ONE_SIDED)


class Second(NamedTuple):
    """One second's figures and scores. None: unknown."""

    spread_bps: float | None = None
    spread_times: float | None = None  # against the day's median, both floored at a tick and 0.5 bp
    depth_quote: float | None = None  # of the side with the lower amount / usual (without a usual: the lower amount)
    depth_share: float | None = None  # of its usual amount
    price_z: float | None = None
    spread: float | None = None  # scores, 0 to 100
    depth: float | None = None
    stability: float | None = None
    thinner_side: Side | None = None  # the side of the amount and the share
    lack: str | None = None  # "one-sided" or "crossed": the exchange's book when the second ended


class Scored(NamedTuple):
    """A component now, over the window, and the smaller of the two. None: unknown."""

    now: float | None
    window: float | None

    @property
    def score(self) -> float | None:
        known = [score for score in self if score is not None]
        return min(known, default=None)


@dataclass(frozen=True, slots=True)
class Health:
    """The inputs of a window's score."""

    band_bps: int  # where depth is measured: the symbol's own band, or a general one below 15 minutes
    spread_floor_bps: float  # spreads below this are all equally tight
    seconds: list[Second]  # of the window, those with data
    latest: list[Second]  # of them, those of the last three seconds
    end: int  # of the window and of the last three seconds, exclusive
    scores: dict[Component, Scored]
    trust: dict[Component, float] = field(default_factory=dict)  # less than 1 while a baseline is young
    buy_quote: float = 0.0
    sell_quote: float = 0.0
    usual_quote: float | None = None
    updates_per_s: float | None = None
    updates_times: float | None = None

    def parts(self, of: Literal["score", "now", "window"] = "score") -> dict[Component, Part]:
        """The known components: the smaller of now and window, or the only one known."""
        known = ((name, getattr(scored, of)) for name, scored in self.scores.items())
        return {name: Part(score, self.trust.get(name, 1.0)) for name, score in known if score is not None}

    def latest_of(self, figure: str) -> float | None:
        """The median of the last three seconds."""
        return _median(getattr(each, figure) for each in self.latest)

    @property
    def thinnest(self) -> Second | None:
        """The median second by depth of the last three; of two, the thinner. None: no amount is known."""
        return middle_by_depth(self.latest)

    def median_of(self, figure: str) -> float | None:
        """Of the window's seconds."""
        return _median(getattr(each, figure) for each in self.seconds)

    def least_of(self, figure: str) -> float | None:
        return min(_known(getattr(each, figure) for each in self.seconds), default=None)

    def most_of(self, figure: str) -> float | None:
        return max(_known(getattr(each, figure) for each in self.seconds), default=None)


def health_of_window(
    window: Cut,
    measures: Iterable[Measures],
    normal: Normal,
    *,
    tick: float,
    age_ms: int,
    is_live: bool,
    usd_rate: float | None,
) -> Health:
    """`measures` cover at least the window's seconds. `usd_rate` is dollars per quote unit; None: unknown, and depth
    has
    no absolute scale. `is_live`: the status of the feed.
    """
    moves = {each.second: each.price_z for each in measures}
    scale = Scale(normal, tick, usd_rate)
    known = [(row.second, scale.second(row, moves.get(row.second))) for row in window.rows if says_something(row)]
    seconds = [each for _, each in known]
    latest = [each for second, each in known if second >= window.span.end - NOW_SECS]
    scores: dict[Component, Scored] = {
        "spread_stability": _scored(seconds, latest, "spread"),
        "liquidity_depth": _scored(seconds, latest, "depth"),
        "price_stability": _scored(seconds, latest, "stability"),
    }
    rows = window.rows
    buys, sells = sum(row.buy_quote for row in rows), sum(row.sell_quote for row in rows)
    per_minute = normal.minute_volume_quote
    usual = None if per_minute is None else per_minute * window.span.secs / MINUTE
    flow = balance_score(buys, sells, normal.minutes_weight * (usual or 0.0))
    covered = window.covered_secs
    updates = sum(row.ids for row in rows) / covered if covered > 0 else None
    usual_updates = normal.updates_per_s
    times = None if updates is None or usual_updates is None else ratio(updates, usual_updates)
    pace = updates if usual_updates is None else usual_updates
    is_quiet = is_live and pace is not None and pace < QUIET_UPDATES
    rate = 100.0 if is_quiet else update_score(age_ms, times, normal.minutes_weight)
    scores["flow_balance"], scores["update_rate"] = Scored(flow, flow), Scored(rate, rate)
    return Health(
        band_bps=BANDS_BPS[scale.place(window.mid_end)],
        spread_floor_bps=spread_floor_bps(tick, window.mid_end or inf),
        seconds=seconds,
        latest=latest,
        end=window.span.end,
        scores=scores,
        trust={"liquidity_depth": scale.depth_trust, "price_stability": normal.price_weight},
        buy_quote=buys,
        sell_quote=sells,
        usual_quote=usual,
        updates_per_s=updates,
        updates_times=times,
    )


def middle_by_depth(seconds: Iterable[Second]) -> Second | None:
    """A one-sided or crossed book counts as the thinnest."""

    def depth(each: Second) -> float:
        amount = each.depth_quote if each.depth_share is None else each.depth_share
        return -1.0 if each.lack is not None or amount is None else amount

    known = sorted((each for each in seconds if each.lack is not None or each.depth_quote is not None), key=depth)
    return known[(len(known) - 1) // 2] if known else None


def middle_by_spread(seconds: Iterable[Second]) -> Second | None:
    """A one-sided or crossed book sorts last: it counts as the widest."""

    def width(each: Second) -> float:
        return inf if each.lack is not None or each.spread_bps is None else each.spread_bps

    known = sorted((each for each in seconds if each.lack is not None or each.spread_bps is not None), key=width)
    return known[len(known) // 2] if known else None


def says_something(row: SecondRow) -> bool:
    """Whether the second shows the exchange's book: valid, one-sided or crossed."""
    return not row.flags & OURS and (is_broken(row) or (row.mid is not None and row.spread_mean is not None))


def is_broken(row: SecondRow) -> bool:
    """Whether the exchange's book had an empty side or was crossed when the second ended."""
    return lack_of(row) is not None


def lack_of(row: SecondRow) -> str | None:
    """The defect of the exchange's book when the second ended: "one-sided" or "crossed". None: valid."""
    if row.flags & EMPTY:
        return "one-sided"
    bid, ask = row.best_bid, row.best_ask
    return "crossed" if bid is not None and ask is not None and bid > ask else None


class Scale:
    """The scales of a second: the symbol's own usual, the general scale, or a gradual change from one to the other."""

    def __init__(self, normal: Normal, tick: float, usd_rate: float | None) -> None:
        self._normal, self._tick, self._usd_rate = normal, tick, usd_rate

    @property
    def depth_trust(self) -> float:
        """Without a dollar rate only the usual amount counts, and its weight grows gradually."""
        return 1.0 if self._usd_rate is not None else self._normal.depth_weight

    def second(self, row: SecondRow, price_z: float | None) -> Second:
        stability = None if price_z is None else stability_score(price_z)
        if (lack := lack_of(row)) is not None:
            return Second(price_z=price_z, spread=0.0, depth=0.0, stability=stability, lack=lack)
        normal, mid = self._normal, row.mid or 1.0
        spread, times = 1e4 * (row.spread_mean or 0.0) / mid, None
        if normal.spread_bps is not None:
            times = spread_times(spread, normal.spread_bps, spread_floor_bps(self._tick, mid))
        amount, share, side = self._depth(row)
        own_spread = None if times is None else wider_score(times)
        own_depth = None if share is None else thinner_score(share)
        return Second(
            spread_bps=spread,
            spread_times=times,
            depth_quote=amount,
            depth_share=share,
            price_z=price_z,
            spread=_blend(own_spread, normal.spread_weight, lambda: self._tight(spread, mid)),
            depth=_blend(own_depth, normal.depth_weight, lambda: self._absolute_depth(row, mid)),
            stability=stability,
            thinner_side=side,
        )

    def place(self, mid: float | None) -> int:
        """Index in BANDS_BPS of the band in which depth is measured."""
        return depth_place(self._normal, self._tick, mid)

    def _depth(self, row: SecondRow) -> tuple[float | None, float | None, Side | None]:
        """Amount, amount / usual and side of the side with the lower ratio."""
        place, usual = self.place(row.mid), self._normal.depth
        bid, ask = (known_depth(row, side, place) for side in SIDES)
        if bid is None or ask is None:
            return None, None, None
        if usual is None:
            return (bid, None, "bid") if bid <= ask else (ask, None, "ask")
        bid_share, ask_share = bid / usual.bid, ask / usual.ask
        return (bid, bid_share, "bid") if bid_share <= ask_share else (ask, ask_share, "ask")

    def _tight(self, spread_bps: float, mid: float) -> float:
        """By the general scale."""
        return 100.0 if spread_bps <= 1e4 * self._tick / mid * (1 + 1e-6) else spread_score(spread_bps)

    def _absolute_depth(self, row: SecondRow, mid: float) -> float | None:
        if self._usd_rate is None:
            return None
        place = absolute_place(1e4 * self._tick / mid)
        bid, ask = (known_depth(row, side, place) for side in SIDES)
        return None if bid is None or ask is None else depth_score(min(bid, ask) * self._usd_rate)


def depth_place(normal: Normal, tick: float, mid: float | None) -> int:
    """Index in BANDS_BPS of the band in which depth is measured: the symbol's own, or the general one."""
    if normal.depth is not None:
        return normal.depth.place
    return absolute_place(1e4 * tick / mid if mid else 0.0)


def band_bps(normal: Normal, tick: float, mid: float | None) -> int:
    """How far from mid depth is measured."""
    return BANDS_BPS[depth_place(normal, tick, mid)]


def absolute_place(tick_bps: float) -> int:
    """Index in BANDS_BPS of the general band, used while there is no baseline."""
    least = max(ABSOLUTE_BPS, ABSOLUTE_TICKS * tick_bps)
    return next((place for place, bps in enumerate(BANDS_BPS) if bps >= least), len(BANDS_BPS) - 1)


def known_depth(row: SecondRow, side: Side, place: int) -> float | None:
    """Quote units of one side within a band. None: the book is not known that far."""
    amounts, truncated = (
        (row.bid_band_quote, row.bid_truncated) if side == "bid" else (row.ask_band_quote, row.ask_truncated)
    )
    return None if place >= len(amounts) or truncated >> place & 1 else amounts[place]


def update_score(age_ms: float, times: float | None, weight: float) -> float:
    """How fresh the book is and, gradually, how usual its pace."""
    fresh = freshness_score(age_ms)
    return fresh if times is None else _mixed(fresh, geometric_mean([fresh, activity_score(times)]) or 0.0, weight)


def _blend(own: float | None, weight: float, absolute: Callable[[], float | None]) -> float | None:
    """The score by the symbol's own usual, by the general scale, or between the two."""
    if own is not None and weight >= 1.0:
        return own
    before = absolute()
    if own is None or before is None:
        return before if own is None else own
    return _mixed(before, own, weight)


def _mixed(before: float, after: float, weight: float) -> float:
    return before + weight * (after - before)


def _scored(seconds: list[Second], latest: list[Second], figure: str) -> Scored:
    window = _known(getattr(each, figure) for each in seconds)
    return Scored(_median(getattr(each, figure) for each in latest), fmean(window) if window else None)


def _known(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _median(values: Iterable[float | None]) -> float | None:
    known = _known(values)
    return median(known) if known else None
