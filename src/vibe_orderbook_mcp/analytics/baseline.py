"""What is usual for one symbol (definition sheet 7.2).

Each second's figures are standardised by the median and spread of the hour before (causal, so a level that drifts
from day to day raises no alarm) and pooled over the last day as hourly histograms. Seconds without a whole, sound
book and seconds within a minute of a flagged episode are left out, otherwise an event would raise its own
threshold; for that every second waits a little over a minute before it counts. Nothing here reads a clock.

Below 15 minutes of history nothing relative is said, below one hour no verdict is given.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import exp, expm1, log, log1p
from typing import Final, Literal, NamedTuple, get_args

import msgspec

from vibe_orderbook_mcp.analytics.histograms import Binned, Pool, Standing, Sums, bin_of, packed
from vibe_orderbook_mcp.analytics.tails import alarm_level, three_within
from vibe_orderbook_mcp.analytics.trailing import Trailing
from vibe_orderbook_mcp.errors import StorageCorrupt

VERSION: Final = 1

HOUR: Final = 3600
RELATIVE_SECS: Final = 900
VERDICT_SECS: Final = 3600
MARGIN_SECS: Final = 60
# An alarm is raised up to nine seconds after its first second; that second's margin must still be undecided.
HOLD_SECS: Final = MARGIN_SECS + 10
# An "episode" that goes on is how the market is now: it must become the new normal at some time.
LONGEST_EPISODE_SECS: Final = 900
DAY_HOURS: Final = 24
WEEK_HOURS: Final = 168
WEEK_ENOUGH_HOURS: Final = 160
SAME_HOUR: Final = 1  # hours of the clock to both sides
# Rows that a restart needs before the last second that the stored hours hold.
REPLAY_SECS: Final = HOUR + 120
MINUTE: Final = 60
MINUTE_ENOUGH: Final = 57
DAY_SECS: Final = 86_400
SIDE_MINUTES_NEEDED: Final = 60
# Where half of all values are equal, the MAD is 0. In units of ln: a tenth is no difference worth a name.
LEAST_SIGMA: Final = 0.1

Score = Literal["updates", "order_to_trade", "spread", "depth_50", "depth_25"]
Level = Literal[
    "spread",
    "depth_10",
    "minute_updates",
    "minute_volume",
    "buying",
    "selling",
    "turnover",
    "kept_up",
    "fleeting",
    "wall_minutes",
]

SCORES: Final[tuple[Score, ...]] = ("updates", "order_to_trade", "spread", "depth_50", "depth_25")
LEVELS: Final[tuple[Level, ...]] = get_args(Level)


class Sample(NamedTuple):
    """A second's figures. None: not known, which is not 0."""

    updates: float
    order_to_trade: float
    spread_bps: float | None
    depth_50: float | None  # quote units of the thinner side
    depth_25: float | None
    depth_10: float | None
    move_ticks: float | None  # |mid change|
    mid: float | None
    quote_volume: float
    buy_volume: float
    sell_volume: float
    walls_watched: bool


class HourBlock(msgspec.Struct, array_like=True):
    """One hour as it is stored. `until` is its last second that it counts, so hours may be written one by one."""

    version: int
    hour: int
    until: int
    seconds: int
    figures: dict[str, Binned]
    excluded: list[tuple[int, int]]


def encode(block: HourBlock) -> bytes:
    return msgspec.msgpack.encode(block)


def decode(data: bytes) -> HourBlock:
    """Raises StorageCorrupt."""
    try:
        block = msgspec.msgpack.decode(data, type=HourBlock)
        for binned in block.figures.values():
            list(binned.items())
    except (msgspec.MsgspecError, ValueError) as error:
        raise StorageCorrupt(f"an hour of a baseline cannot be read: {error}") from error
    except Exception as error:  # struct.error has no other base
        raise StorageCorrupt(f"an hour of a baseline cannot be read: {error}") from error
    if block.version != VERSION:
        raise StorageCorrupt(f"an hour of a baseline has version {block.version}, not {VERSION}")
    return block


class _Held(NamedTuple):
    second: int
    sample: Sample
    scores: tuple[float | None, ...]  # in the order of SCORES


class _Hour:
    """The counts of one hour: open while it runs, packed afterwards."""

    def __init__(self) -> None:
        self.seconds = 0
        self.open: dict[str, tuple[dict[int, int], Sums]] = {}
        self.packed: dict[str, Binned] = {}

    def figure(self, name: str) -> tuple[dict[int, int], Sums]:
        """The figure's open counts. An hour that was packed is opened again, for late values."""
        found = self.open.get(name)
        if found is None:
            stored = self.packed.pop(name, None)
            found = ({}, Sums()) if stored is None else (dict(stored.items()), stored.sums)
            self.open[name] = found
        return found

    def items(self, name: str) -> Iterable[tuple[int, int]]:
        if name in self.open:
            return self.open[name][0].items()
        return self.packed[name].items() if name in self.packed else ()

    def sums(self, name: str) -> Sums | None:
        if name in self.open:
            return self.open[name][1]
        return self.packed[name].sums if name in self.packed else None

    def pack(self) -> None:
        for name, (counts, sums) in self.open.items():
            self.packed[name] = packed(counts, sums)
        self.open = {}

    def binned(self) -> dict[str, Binned]:
        return {**self.packed, **{name: packed(*figure) for name, figure in self.open.items()}}


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


@dataclass(frozen=True, slots=True)
class Normal:
    """What health compares with: medians of the last day. None: not known yet."""

    seconds: int
    spread_bps: float | None
    depth_10: float | None
    updates_per_s: float | None
    minute_volume_quote: float | None


class Baseline:
    """`observe` every second in turn; `exclude` what was flagged; ask at any time."""

    def __init__(self, tick: float) -> None:
        self._tick = tick
        self._trailing: dict[Score, Trailing] = {name: Trailing(HOUR) for name in SCORES}
        self._moves = Trailing(HOUR)
        self._minute_moves = Trailing(HOUR)
        self._minute = _Minute()
        self._held: deque[_Held] = deque()
        self._hours: dict[int, _Hour] = {}
        self._hour = -1
        self._pools: dict[str, Pool] = {
            **{f"score:{name}": Pool("score") for name in SCORES},
            **{f"level:{name}": Pool("level") for name in LEVELS},
        }
        self._earlier_secs = 0  # of the day's hours before the present one
        self._excluded: dict[int, int] = {}  # first second -> last
        self._until = self._restored_until = -1
        self._changed: set[int] = set()

    @property
    def seconds(self) -> int:
        """Seconds of the last day that count."""
        hour = self._hours.get(self._hour)
        return self._earlier_secs + (0 if hour is None else hour.seconds)

    def seconds_since(self, second: int) -> int:
        """Of those that count, how many came since then, a week back at most. An hour is taken as evenly watched."""
        part = 0
        for number, hour in self._hours.items():
            left = min(HOUR, (number + 1) * HOUR - second)
            part += min(hour.seconds, max(0, left))
        return part

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
        """At least; a second that is left out makes it longer."""
        missing = max(VERDICT_SECS - self.seconds, RELATIVE_SECS - len(self._trailing["updates"]))
        return missing + HOLD_SECS - len(self._held) if missing > 0 else 0

    def observe(self, second: int, sample: Sample | None) -> None:
        """The next second. `sample` is None for a second that says nothing of what is usual.

        After `restore`, seconds that the stored hours hold are told again; of them only what is not stored is made.
        """
        if sample is not None:
            values = _transformed(sample)
            scores = tuple(
                None if value is None else self._score(name, value) for name, value in zip(SCORES, values, strict=True)
            )
            self._held.append(_Held(second, sample, scores))
        while self._held and self._held[0].second <= second - HOLD_SECS:
            held = self._held.popleft()
            if not self._is_excluded(held.second):
                self._commit(held, counts=held.second > self._restored_until)
            self._until = max(self._until, held.second)

    def exclude(self, first: int, last: int) -> None:
        """A flagged episode. Its first fifteen minutes and a minute on both sides do not count."""
        start, end = first - MARGIN_SECS, min(last, first + LONGEST_EPISODE_SECS) + MARGIN_SECS
        self._excluded[start] = max(end, self._excluded.get(start, end))

    def count_event(self, name: Level, second: int, value: float) -> None:
        """A value that comes with an event and not with every second."""
        self._count(f"level:{name}", second, value, step=0)

    def median(self, name: Score) -> float | None:
        """Of the trailing hour, in the figure's own unit. None below 15 minutes."""
        trailing = self._trailing[name]
        middle = trailing.median
        return None if middle is None or len(trailing) < RELATIVE_SECS else _raw(name, middle)

    @property
    def median_move_ticks(self) -> float | None:
        return self._moves.median if len(self._moves) >= RELATIVE_SECS else None

    @property
    def median_minute_move_ticks(self) -> float | None:
        return self._minute_moves.median if len(self._minute_moves) >= RELATIVE_SECS // MINUTE else None

    def score(self, name: Score, value: float) -> float | None:
        """The value, standardised by the trailing hour. None below 15 minutes of it."""
        return self._score(name, _transform(name, value))

    def standing(self, name: Score, value: float) -> Standing | None:
        score = self.score(name, value)
        return None if score is None else self._standing(f"score:{name}", score)

    def rank(self, name: Score, value: float) -> float | None:
        """The uncapped rank, for thresholds: whether a value is above a quantile."""
        score = self.score(name, value)
        return None if score is None else self._pools[f"score:{name}"].rank(score)

    def threshold(self, name: Score, share: float) -> float | None:
        """The value that stands at this quantile now, in the figure's own unit."""
        trailing = self._trailing[name]
        middle, at = trailing.median, self._pools[f"score:{name}"].quantile(share)
        if middle is None or at is None or len(trailing) < RELATIVE_SECS:
            return None
        return _raw(name, min(700.0, middle + at * max(trailing.sigma(middle), LEAST_SIGMA)))

    def standing_level(self, name: Level, value: float) -> Standing | None:
        return self._standing(f"level:{name}", value)

    def alarm_turnover(self) -> float | None:
        """The turnover that levels which are kept up exceed once in so many days (`tails`). None: too few of them."""
        found = alarm_level(self._pools["level:kept_up"].items(), self.seconds / DAY_SECS)
        return None if found is None else exp(min(700.0, found))

    def three_fleeting(self, share: float, newest: int) -> float | None:
        """How many times a minute three fleeting walls of one side, all of that share of the usual depth or more, fall
        within a minute by chance. The `newest` of that size are those in question, and no history of theirs.

        None: walls were not watched for half an hour.
        """
        minutes = self.side_minutes
        if minutes < SIDE_MINUTES_NEEDED:
            return None
        return three_within(max(0, self._pools["level:fleeting"].from_(log(share)) - newest), minutes)

    @property
    def side_minutes(self) -> int:
        """Minutes of the last day in which walls of a side were watched: two for each that passed."""
        return 2 * self._pools["level:wall_minutes"].n

    @property
    def normal(self) -> Normal:
        """Medians of the last day, where there are 15 minutes of it."""
        return Normal(
            seconds=self.seconds,
            spread_bps=self._day_median("spread", RELATIVE_SECS),
            depth_10=self._day_median("depth_10", RELATIVE_SECS),
            updates_per_s=_unlog1p(self._day_median_log("minute_updates", RELATIVE_SECS // MINUTE)),
            minute_volume_quote=_unlog1p(self._day_median_log("minute_volume", RELATIVE_SECS // MINUTE)),
        )

    def count(self, name: Level) -> int:
        """How many values the last day holds."""
        return self._pools[f"level:{name}"].n

    def take_blocks(self) -> list[HourBlock]:
        """The hours that changed since the last call, oldest first."""
        changed, self._changed = sorted(self._changed), set()
        return [self._block(hour) for hour in changed if hour in self._hours]

    def restore(self, blocks: Iterable[HourBlock]) -> int:
        """Start from stored hours. Returns the last second that they count; -1 when there are none."""
        for block in sorted(blocks, key=lambda each: each.hour):
            hour = self._hours[block.hour] = _Hour()
            hour.seconds = block.seconds
            hour.packed = {name: binned for name, binned in block.figures.items() if name in self._pools}
            self._until = max(self._until, block.until)
            for first, last in block.excluded:
                self._excluded[first] = max(last, self._excluded.get(first, last))
        if self._hours:
            self._roll(max(self._hours))
        self._restored_until = self._until
        return self._until

    def _commit(self, held: _Held, *, counts: bool) -> None:
        """The second counts from now on."""
        second, sample = held.second, held.sample
        for name, value in zip(SCORES, _transformed(sample), strict=True):
            if value is not None:
                self._trailing[name].add(second, value)
        if sample.move_ticks is not None:
            self._moves.add(second, sample.move_ticks)
        self._add_to_minute(held, counts=counts)
        if not counts:
            return
        self._roll(second // HOUR)
        self._hours[second // HOUR].seconds += 1
        self._changed.add(second // HOUR)
        for name, score in zip(SCORES, held.scores, strict=True):
            if score is not None:
                self._count(f"score:{name}", second, score, step=1)
        if sample.spread_bps is not None:
            self._count("level:spread", second, log(sample.spread_bps), step=1)
        if sample.depth_10 is not None:
            self._count("level:depth_10", second, log(sample.depth_10), step=1)

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
        self._count("level:minute_updates", second, log1p(minute.updates / minute.seconds), step=MINUTE)
        self._count("level:minute_volume", second, log1p(minute.quote_volume), step=MINUTE)
        if minute.watched_secs >= MINUTE_ENOUGH:
            self._count("level:wall_minutes", second, 0.0, step=0)
        if change is not None:
            self._count("level:buying", second, per_tick(minute.sell_volume, -change), step=MINUTE)
            self._count("level:selling", second, per_tick(minute.buy_volume, change), step=MINUTE)

    def _count(self, name: str, second: int, value: float, *, step: int) -> None:
        number = second // HOUR
        if number <= self._hour - WEEK_HOURS - 1:
            return
        if number > self._hour:
            self._roll(number)
        pool = self._pools[name]
        place = bin_of(pool.scale, value)
        hour = self._hours.setdefault(number, _Hour())
        counts, sums = hour.figure(name)
        counts[place] = counts.get(place, 0) + 1
        if sums.n == 0:
            before = self._hours.get(number - 1)
            earlier = None if before is None else before.sums(name)
            if earlier is not None:  # the neighbour of an hour's first value stands in the hour before
                sums.last_second, sums.last = earlier.last_second, earlier.last
        sums.add(second, value, step)
        pool.hours.add(number)
        pool.add(place)
        self._changed.add(number)

    def _roll(self, number: int) -> None:
        """The present hour is `number`: older ones are packed, the oldest leave the pools."""
        self._hours.setdefault(number, _Hour())
        if number <= self._hour:
            return
        for earlier, hour in self._hours.items():
            if earlier < number - 1:
                hour.pack()
        self._hour = number
        for gone in [each for each in self._hours if each <= number - WEEK_HOURS - 1]:
            for name, pool in self._pools.items():
                if gone in pool.hours:
                    pool.drop(gone, self._hours[gone].items(name))
            del self._hours[gone]
        self._earlier_secs = sum(
            each.seconds for earlier, each in self._hours.items() if number - DAY_HOURS <= earlier < number
        )
        is_week = len(self._hours) >= WEEK_ENOUGH_HOURS
        day = {each for each in self._hours if each >= number - DAY_HOURS}
        # Of a week, this hour of the day and its neighbours: a market is as lively at noon as at other noons.
        alike = {each for each in self._hours if (each - number + SAME_HOUR) % DAY_HOURS <= 2 * SAME_HOUR}
        for name, pool in self._pools.items():
            wanted = alike if is_week and name.startswith("score:") else day
            for each in pool.hours - wanted:
                pool.drop(each, self._hours[each].items(name))
            for each in wanted - pool.hours:
                pool.merge(each, self._hours[each].items(name))

    def _block(self, number: int) -> HourBlock:
        hour, start = self._hours[number], number * HOUR
        excluded = [(first, last) for first, last in self._excluded.items() if last >= start and first < start + HOUR]
        return HourBlock(VERSION, number, min(self._until, start + HOUR - 1), hour.seconds, hour.binned(), excluded)

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

    def _standing(self, name: str, value: float) -> Standing | None:
        pool = self._pools[name]
        sums = [found for hour in sorted(pool.hours) if (found := self._hours[hour].sums(name)) is not None]
        return pool.standing(value, sums)

    def _day_median_log(self, name: Level, least: int) -> float | None:
        pool = self._pools[f"level:{name}"]
        return pool.quantile(0.5) if pool.n >= least else None

    def _day_median(self, name: Level, least: int) -> float | None:
        middle = self._day_median_log(name, least)
        return None if middle is None else exp(middle)


def per_tick(volume: float, adverse_ticks: float) -> float:
    """ln of the volume per tick of adverse move, at least one (4.1). Nothing traded ranks below everything."""
    return log(max(volume / max(adverse_ticks, 1.0), 1e-12))


def restore_from(blocks: Sequence[HourBlock], now_second: int) -> int:
    """The first second of rows that `restore` needs."""
    until = max((block.until for block in blocks), default=now_second)
    return min(until, now_second) - REPLAY_SECS


def _transformed(sample: Sample) -> tuple[float | None, ...]:
    spread, wide, near = sample.spread_bps, sample.depth_50, sample.depth_25
    return (
        log1p(sample.updates),
        log1p(sample.order_to_trade),
        None if spread is None else log(spread),
        None if wide is None else log(wide),
        None if near is None else log(near),
    )


def _transform(name: Score, value: float) -> float:
    return log1p(value) if name in ("updates", "order_to_trade") else log(value)


def _raw(name: Score, value: float) -> float:
    return expm1(value) if name in ("updates", "order_to_trade") else exp(value)


def _unlog1p(value: float | None) -> float | None:
    return None if value is None else max(0.0, expm1(value))
