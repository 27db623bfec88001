"""The baseline of one symbol: its usual values.

Each second's figures are standardised by the median and spread of the hour before (causal, so a level that drifts from
day to day raises no alarm). They are pooled over the last day as hourly histograms. Two kinds of seconds are left out:
those without a complete, valid book, and those within a minute of a flagged episode, which would raise its own
threshold. So every second waits a little over a minute before it counts. No code here reads a clock.

Below 15 minutes of history there is no comparison, below one hour no verdict.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import exp, log, log1p
from typing import Final, NamedTuple

from vibe_orderbook_mcp.analytics.usual.figures import (
    BAND_FIGURES,
    COST_FIGURES,
    LEVELS,
    NOTHING,
    SCORES,
    Level,
    Sample,
    Score,
    raw,
    thinner,
    transform,
    transformed,
)
from vibe_orderbook_mcp.analytics.usual.histograms import Standing
from vibe_orderbook_mcp.analytics.usual.hours import HOUR, VERSION, HourBlock, Hours, Peak
from vibe_orderbook_mcp.analytics.usual.normal import Normal, normal_of
from vibe_orderbook_mcp.analytics.usual.own_band import BandChoice, OwnBand
from vibe_orderbook_mcp.analytics.usual.row_cost import dearer_cost_bps
from vibe_orderbook_mcp.analytics.usual.tails import alarm_level, three_within
from vibe_orderbook_mcp.analytics.usual.trailing import Trailing
from vibe_orderbook_mcp.model.rows import BANDS_BPS, SecondRow

RELATIVE_SECS: Final = 900
VERDICT_SECS: Final = 3600
MARGIN_SECS: Final = 60
# An alarm is raised some seconds after its first second; that second's margin must still be undecided.
HOLD_SECS: Final = MARGIN_SECS + 10
# A very long "episode" is the present state of the market: at some time it must become usual.
LONGEST_EPISODE_SECS: Final = 900
# Rows that a restart needs before the last second of the stored hours.
REPLAY_SECS: Final = HOUR + 120
MINUTE: Final = 60
MINUTE_ENOUGH: Final = 57
DAY_SECS: Final = 86_400
SIDE_MINUTES_NEEDED: Final = 60
# If half of all values are equal, the MAD is 0. This floor is in units of ln: a tenth is a negligible difference.
LEAST_SIGMA: Final = 0.1


class _Held(NamedTuple):
    second: int
    sample: Sample
    scores: tuple[float | None, ...]  # in the order of SCORES


@dataclass(slots=True)
class _Minute:
    """The sums of a minute of the clock, from the seconds that count."""

    number: int = -1
    seconds: int = 0
    updates: float = 0.0
    quote_volume: float = 0.0
    buy_volume: float = 0.0
    sell_volume: float = 0.0
    mid_before: float | None = None
    mid: float | None = None
    watched_secs: int = 0


class SideUsual(NamedTuple):
    """Medians of the last day: depth of either side within the symbol's own band, in quote units."""

    band_bps: int
    place: int  # of that band in BANDS_BPS
    bid: float
    ask: float


class UsualDay(NamedTuple):
    """What a book is compared with: medians of the symbol's last day. None below 15 minutes."""

    seconds: int  # of the day that count
    is_ready: bool  # verdicts may be given
    spread_bps: float | None
    depth: SideUsual | None


class Baseline:
    """`observe` every second in order, and `exclude` flagged episodes. Every other method reads."""

    def __init__(self, tick: float) -> None:
        self._tick = tick
        self._trailing: dict[Score, Trailing] = {name: Trailing(HOUR) for name in SCORES}
        self._moves = Trailing(HOUR)
        self._minute_moves = Trailing(HOUR, MINUTE)
        self._minute = _Minute()
        self._held: deque[_Held] = deque()
        levels = [*LEVELS, *(name for names in BAND_FIGURES for name in names), *COST_FIGURES]
        self._past = Hours([*(f"score:{name}" for name in SCORES), *(f"level:{name}" for name in levels)])
        self._mid: float | None = None
        self._band = OwnBand()
        self._usuals: dict[int, SideUsual] = {}  # by index of the band: the own one, and those that may become it
        self._spread_usual: float | None = None
        self._excluded: dict[int, int] = {}  # first second -> last
        self._until = self._restored_until = -1

    @property
    def seconds(self) -> int:
        """Seconds of the last day that count."""
        return self._past.seconds

    def seconds_since(self, second: int) -> int:
        """Number of counted seconds since then, at most a week back. Assumes even coverage within an hour."""
        return self._past.seconds_since(second)

    @property
    def is_relative(self) -> bool:
        """Whether a value can be compared with the hour before."""
        return len(self._trailing["updates"]) >= RELATIVE_SECS

    @property
    def is_ready(self) -> bool:
        """Whether verdicts may be given."""
        return self.is_relative and self.seconds >= VERDICT_SECS

    @property
    def secs_until_ready(self) -> int:
        """The least wait; each second that is left out makes it longer."""
        missing = max(VERDICT_SECS - self.seconds, RELATIVE_SECS - len(self._trailing["updates"]))
        return missing + HOLD_SECS - len(self._held) if missing > 0 else 0

    def observe(self, second: int, sample: Sample | None) -> None:
        """Add the next second. `sample` is None for a second that does not count.

        After `restore`, seconds of the stored hours come again; of them only the values that are not stored are
        computed.
        """
        if sample is not None:
            self._mid = sample.mid or self._mid
            if (place := self._band.place) is not None and sample.bids:
                sample = sample._replace(depth_own=sample.thin(place))
            values = transformed(sample)
            scores = tuple(
                None if value is None else self._score(name, value) for name, value in zip(SCORES, values, strict=True)
            )
            self._held.append(_Held(second, sample, scores))
        while self._held and self._held[0].second <= second - HOLD_SECS:
            held = self._held.popleft()
            if not self._is_excluded(held.second):
                self._commit(held, counts=held.second > self._restored_until)
            self._until = max(self._until, held.second)
        self._look_for_band(second)
        self._weigh()

    def exclude(self, first: int, last: int) -> None:
        """Exclude a flagged episode: its first fifteen minutes, and a minute before and after it, do not count."""
        start, end = first - MARGIN_SECS, min(last, first + LONGEST_EPISODE_SECS) + MARGIN_SECS
        self._excluded[start] = max(end, self._excluded.get(start, end))

    def count_event(self, name: Level, second: int, value: float) -> None:
        """Add a value of an event, which not every second has."""
        self._past.count(f"level:{name}", second, value, step=0)

    def median(self, name: Score) -> float | None:
        """Median of the trailing hour, in the figure's own unit. None below 15 minutes."""
        trailing = self._trailing[name]
        middle = trailing.median
        return None if middle is None or len(trailing) < RELATIVE_SECS else raw(name, middle)

    @property
    def band(self) -> BandChoice | None:
        """The symbol's own band. None below 15 minutes."""
        return self._band.choice

    @property
    def usual_depth(self) -> SideUsual | None:
        """Usual depth. None below 15 minutes, and if a side of the own band is empty more than half of the time."""
        place = self._band.place
        return None if place is None else self._usuals.get(place)

    @property
    def median_spread_bps(self) -> float | None:
        """Median of the last day. None below 15 minutes."""
        return self._spread_usual

    @property
    def day(self) -> UsualDay:
        return UsualDay(self.seconds, self.is_ready, self.median_spread_bps, self.usual_depth)

    @property
    def mean_quote(self) -> float | None:
        """Quote units a second over the last day. None below an hour."""
        quote, seconds = self._past.traded
        return quote / seconds if seconds >= VERDICT_SECS else None

    def costs_bps(self, row: SecondRow) -> dict[int, float]:
        """Cost of taking a quarter of a usual side at once, on the costlier side: for the own band and those that may
        become it, by index in BANDS_BPS. An unknown cost is missing.
        """
        costs = {place: dearer_cost_bps(row, usual.bid / 4, usual.ask / 4) for place, usual in self._usuals.items()}
        return {place: cost for place, cost in costs.items() if cost is not None}

    @property
    def median_cost_bps(self) -> float | None:
        """Median of the last day, for the own band. None below 15 minutes."""
        place = self._band.place
        return None if place is None else self._day_median(COST_FIGURES[place], RELATIVE_SECS)

    def standing_cost(self, cost_bps: float) -> Standing | None:
        """Standing among the last day's values, for the own band."""
        place = self._band.place
        return (
            None if place is None else self._past.standing(f"level:{COST_FIGURES[place]}", log(max(cost_bps, NOTHING)))
        )

    def add_peak(self, name: str, peak: Peak) -> None:
        """Add the largest value of an episode, for the symbol's own rate of episodes."""
        self._past.add_peak(name, peak)

    def peaks(self, name: str, since: int) -> list[Peak]:
        return self._past.peaks(name, since)

    @property
    def median_move_ticks(self) -> float | None:
        return self._moves.median if len(self._moves) >= RELATIVE_SECS else None

    @property
    def median_minute_move_ticks(self) -> float | None:
        return self._minute_moves.median if len(self._minute_moves) >= RELATIVE_SECS // MINUTE else None

    def score(self, name: Score, value: float) -> float | None:
        """The value, standardised by the trailing hour. None below 15 minutes of it."""
        return self._score(name, transform(name, value))

    def standing(self, name: Score, value: float) -> Standing | None:
        score = self.score(name, value)
        return None if score is None else self._past.standing(f"score:{name}", score)

    def rank(self, name: Score, value: float) -> float | None:
        """The uncapped rank, for thresholds: whether a value is above a quantile."""
        score = self.score(name, value)
        return None if score is None else self._past[f"score:{name}"].rank(score)

    def threshold(self, name: Score, share: float) -> float | None:
        """The value at this quantile now, in the figure's own unit."""
        trailing = self._trailing[name]
        middle, at = trailing.median, self._past[f"score:{name}"].quantile(share)
        if middle is None or at is None or len(trailing) < RELATIVE_SECS:
            return None
        return raw(name, min(700.0, middle + at * max(trailing.sigma(middle), LEAST_SIGMA)))

    def standing_level(self, name: Level, value: float) -> Standing | None:
        return self._past.standing(f"level:{name}", value)

    def alarm_turnover(self) -> float | None:
        """The turnover that refilled levels exceed at this rate (`tails`). None: too few of them."""
        found = alarm_level(self._past["level:kept_up"].items(), self.seconds / DAY_SECS)
        return None if found is None else exp(min(700.0, found))

    def three_fleeting(self, share: float, newest: int) -> float | None:
        """How often per minute three fleeting walls of one side, each at least that share of the usual depth, fall
        within a minute by chance. The `newest` walls are the ones being judged and do not count as history.

        None: walls were recorded for less than half an hour.
        """
        minutes = self.side_minutes
        if minutes < SIDE_MINUTES_NEEDED:
            return None
        return three_within(max(0, self._past["level:fleeting"].from_(log(share)) - newest), minutes)

    @property
    def side_minutes(self) -> int:
        """Minutes of the last day in which walls of a side were recorded: two for each minute of time."""
        return 2 * self._past["level:wall_minutes"].n

    def normal(self, price_secs: int) -> Normal:
        """Medians of the last day. `price_secs`: as for `normal_of`."""
        band, tick_bps = self._band.choice, None if self._mid is None else 1e4 * self._tick / self._mid
        own_bps = None if band is None else band.bps
        found = normal_of(lambda name: self._past[f"level:{name}"], self.seconds, own_bps, tick_bps, price_secs)
        return found if band is None else replace(found, own_band_bps=band.bps, band_before_bps=band.before or None)

    def count(self, name: Level) -> int:
        """Number of values in the last day."""
        return self._past[f"level:{name}"].n

    def take_blocks(self) -> list[HourBlock]:
        """The hours that changed since the last call, oldest first."""
        return [self._block(number) for number in self._past.take_changed()]

    def restore(self, blocks: Iterable[HourBlock]) -> int:
        """Start from stored hours. Returns the last second that they count; -1 without any."""
        blocks = sorted(blocks, key=lambda each: each.hour)
        for block in blocks:
            self._until = max(self._until, block.until)
            for first, last in block.excluded:
                self._excluded[first] = max(last, self._excluded.get(first, last))
        self._past.restore(blocks)
        self._band.choice = next((block.band for block in reversed(blocks) if block.band is not None), None)
        self._restored_until = self._until
        self._weigh()
        return self._until

    def precede(self, older: Baseline) -> None:
        """Add an earlier baseline before this one. The other one must not be used afterwards."""
        older.observe(
            older._held[-1].second + HOLD_SECS if older._held else older._until, None
        )  # no second waits any more
        for name, trailing in older._trailing.items():
            trailing.add_all(self._trailing[name])
        older._moves.add_all(self._moves)
        older._minute_moves.add_all(self._minute_moves)
        self._trailing, self._moves, self._minute_moves = older._trailing, older._moves, older._minute_moves
        self._past.precede(older._past)
        self._band.precede(older._band)
        self._trailing["depth_own"] = self._band.trailing()
        for first, last in older._excluded.items():
            self._excluded[first] = max(last, self._excluded.get(first, last))
        self._until = max(self._until, older._until)
        self._weigh()

    def _commit(self, held: _Held, *, counts: bool) -> None:
        """Count the second."""
        second, sample = held.second, held.sample
        for name, value in zip(SCORES, transformed(sample), strict=True):
            if value is not None:
                self._trailing[name].add(second, value)
        if sample.move_ticks is not None:
            self._moves.add(second, sample.move_ticks)
        if sample.bids:
            self._band.add(second, sample)
        self._add_to_minute(held, counts=counts)
        if not counts:
            return
        self._past.add_second(second, sample.quote_volume)
        for name, score in zip(SCORES, held.scores, strict=True):
            if score is not None:
                self._past.count(f"score:{name}", second, score, step=1)
        if sample.spread_bps is not None:
            self._past.count("level:spread", second, log(sample.spread_bps), step=1)
        if sample.round_trip_bps is not None:
            self._past.count("level:round_trip", second, log(max(sample.round_trip_bps, NOTHING)), step=1)
        self._count_depths(second, sample)

    def _count_depths(self, second: int, sample: Sample) -> None:
        for names, bid, ask in zip(BAND_FIGURES, sample.bids, sample.asks, strict=False):
            for figure, amount in zip(names, (bid, ask, thinner(bid, ask)), strict=True):
                if amount is not None:
                    self._past.count(f"level:{figure}", second, log(max(amount, NOTHING)), step=1)
        for place, cost in sample.costs_bps.items():
            self._past.count(f"level:{COST_FIGURES[place]}", second, log(max(cost, NOTHING)), step=1)

    def _look_for_band(self, second: int) -> None:
        if self._spread_usual is None or self._mid is None:
            return
        pools = [self._past[f"level:{thin}"] for _, _, thin in BAND_FIGURES]
        if self._band.look(second, self._spread_usual, 1e4 * self._tick / self._mid, pools):
            self._trailing["depth_own"] = self._band.trailing()

    def _weigh(self) -> None:
        """The values that a second is compared with, computed once."""
        self._spread_usual = self._day_median("spread", RELATIVE_SECS)
        self._usuals = {}
        for place in self._band.wanted:
            bid, ask = (self._day_median(name, RELATIVE_SECS) for name in BAND_FIGURES[place][:2])
            if bid is not None and ask is not None and min(bid, ask) > 2 * NOTHING:
                self._usuals[place] = SideUsual(BANDS_BPS[place], place, bid, ask)

    def _add_to_minute(self, held: _Held, *, counts: bool) -> None:
        minute, sample, number = self._minute, held.sample, held.second // MINUTE
        if number != minute.number:
            if minute.seconds >= MINUTE_ENOUGH:
                self._end_minute(minute, counts=counts)
            follows = number == minute.number + 1
            minute = self._minute = _Minute(number, mid_before=minute.mid if follows else None)
        minute.seconds += 1
        minute.updates += sample.updates
        minute.quote_volume += sample.quote_volume
        minute.buy_volume += sample.buy_volume
        minute.sell_volume += sample.sell_volume
        minute.watched_secs += sample.walls_watched
        if sample.mid is not None:
            minute.mid = sample.mid
            if minute.mid_before is None:
                minute.mid_before = sample.mid

    def _end_minute(self, minute: _Minute, *, counts: bool) -> None:
        second = minute.number * MINUTE
        change = None
        if minute.mid is not None and minute.mid_before is not None:
            change = round((minute.mid - minute.mid_before) / self._tick, 6)
            self._minute_moves.add(second, abs(change))
        if not counts:
            return
        self._past.count("level:minute_updates", second, log1p(minute.updates / minute.seconds), step=MINUTE)
        self._past.count("level:minute_volume", second, log1p(minute.quote_volume), step=MINUTE)
        if minute.watched_secs >= MINUTE_ENOUGH:
            self._past.count("level:wall_minutes", second, 0.0, step=0)

    def _block(self, number: int) -> HourBlock:
        hour, start = self._past.hours[number], number * HOUR
        excluded = [(first, last) for first, last in self._excluded.items() if last >= start and first < start + HOUR]
        return HourBlock(
            version=VERSION,
            hour=number,
            until=min(self._until, start + HOUR - 1),
            seconds=hour.seconds,
            figures=hour.binned(),
            excluded=excluded,
            quote=hour.quote,
            quote_seconds=hour.quote_seconds,
            peaks=hour.peaks,
            band=self._band.choice,
        )

    def _is_excluded(self, second: int) -> bool:
        if not self._excluded:
            return False
        for first in [first for first, last in self._excluded.items() if last < second - 2 * HOUR]:
            del self._excluded[first]
        return any(first <= second <= last for first, last in self._excluded.items())

    def _score(self, name: Score, value: float) -> float | None:
        trailing = self._trailing[name]
        middle = trailing.median
        if middle is None or len(trailing) < RELATIVE_SECS:
            return None
        return (value - middle) / max(trailing.sigma(middle), LEAST_SIGMA)

    def _day_median_log(self, name: str, least: int) -> float | None:
        pool = self._past[f"level:{name}"]
        return pool.quantile(0.5) if pool.n >= least else None

    def _day_median(self, name: str, least: int) -> float | None:
        middle = self._day_median_log(name, least)
        return None if middle is None else exp(middle)


def restore_from(blocks: Sequence[HourBlock], now_second: int) -> int:
    """The first second of rows that `restore` needs."""
    until = max((block.until for block in blocks), default=now_second)
    return min(until, now_second) - REPLAY_SECS
