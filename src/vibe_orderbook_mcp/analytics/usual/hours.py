"""The hours of a baseline: counts of each figure's values, merged over a day or a week, and stored.

Hours can be added, expire one by one and survive a restart. The present hour is open, older hours are packed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from vibe_orderbook_mcp.analytics.usual.histograms import Binned, Pool, Standing, Sums, bin_of, packed
from vibe_orderbook_mcp.analytics.usual.own_band import BandChoice
from vibe_orderbook_mcp.model.errors import StorageCorrupt

VERSION: Final = 1

HOUR: Final = 3600
DAY_HOURS: Final = 24
WEEK_HOURS: Final = 168
WEEK_ENOUGH_HOURS: Final = 160
SAME_HOUR: Final = 1  # hours of the clock before and after

Peak = tuple[int, float]  # the second of an episode's largest value, and that value


class HourBlock(msgspec.Struct, array_like=True):
    """One stored hour. `until` is the last second that it counts, so hours may be written one by one."""

    version: int
    hour: int
    until: int
    seconds: int
    figures: dict[str, Binned]
    excluded: list[tuple[int, int]]
    # Hours from before these fields existed have none of them.
    quote: float = 0.0  # quote units traded in `quote_seconds` of its seconds
    quote_seconds: int = 0
    peaks: dict[str, list[Peak]] = {}
    band: BandChoice | None = None  # at the time the hour was stored


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


class Hour:
    """The counts of one hour: open during the hour, packed afterwards."""

    def __init__(self) -> None:
        self.seconds = 0
        self.open: dict[str, tuple[dict[int, int], Sums]] = {}
        self.packed: dict[str, Binned] = {}
        self.quote = 0.0
        self.quote_seconds = 0
        self.peaks: dict[str, list[Peak]] = {}

    def figure(self, name: str) -> tuple[dict[int, int], Sums]:
        """The figure's open counts. A packed hour is unpacked for late values."""
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

    def take_in(self, older: Hour) -> None:
        """Add the part of the same hour that an earlier process counted."""
        self.seconds += older.seconds
        self.quote += older.quote
        self.quote_seconds += older.quote_seconds
        for name, peaks in older.peaks.items():
            self.peaks[name] = sorted([*peaks, *self.peaks.get(name, ())])
        for name in {*older.open, *older.packed}:
            counts, sums = self.figure(name)
            for place, count in older.items(name):
                counts[place] = counts.get(place, 0) + count
            if (more := older.sums(name)) is not None:
                sums.take_in(more)

    def pack(self) -> None:
        for name, (counts, sums) in self.open.items():
            self.packed[name] = packed(counts, sums)
        self.open = {}

    def forget_levels(self) -> None:
        """Drop the values that are compared within a day only, because this hour is older."""
        for figures in (self.open, self.packed):
            for name in [each for each in figures if each.startswith("level:")]:
                del figures[name]

    def binned(self) -> dict[str, Binned]:
        return {**self.packed, **{name: packed(*figure) for name, figure in self.open.items()}}


class Hours:
    """The hours of the last week, and for each figure a merged pool for comparisons.

    Figures have names ("score:updates"). Scores are pooled over a week as soon as there is one, other figures over a
    day.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self.hours: dict[int, Hour] = {}
        self.now = -1
        self.changed: set[int] = set()
        self._pools = {name: Pool("score" if name.startswith("score:") else "level") for name in names}
        self._earlier_secs = 0  # of the day's hours before the present one
        self._earlier_quote = (0.0, 0)  # of the same hours: quote units and the seconds in which they were traded

    def __getitem__(self, name: str) -> Pool:
        return self._pools[name]

    @property
    def seconds(self) -> int:
        """Seconds of the last day that count."""
        hour = self.hours.get(self.now)
        return self._earlier_secs + (0 if hour is None else hour.seconds)

    @property
    def traded(self) -> tuple[float, int]:
        """Quote units traded in the last day, and in how many seconds."""
        quote, seconds = self._earlier_quote
        hour = self.hours.get(self.now)
        return (quote, seconds) if hour is None else (quote + hour.quote, seconds + hour.quote_seconds)

    def seconds_since(self, second: int) -> int:
        """Number of counted seconds since then, at most a week back. Assumes even coverage within an hour."""
        part = 0
        for number, hour in self.hours.items():
            left = min(HOUR, (number + 1) * HOUR - second)
            part += min(hour.seconds, max(0, left))
        return part

    def add_second(self, second: int, quote: float) -> None:
        """Count a second and its volume."""
        number = second // HOUR
        self.roll(number)
        hour = self.hours[number]
        hour.seconds += 1
        hour.quote += quote
        hour.quote_seconds += 1
        self.changed.add(number)
        if number < self.now:  # an event of the present hour was counted before the last seconds of the previous hour
            self._earlier_secs += 1
            self._earlier_quote = self._earlier_quote[0] + quote, self._earlier_quote[1] + 1

    def add_peak(self, name: str, peak: Peak) -> None:
        """Add an episode's largest value. An hour beyond the week is not unpacked."""
        number = peak[0] // HOUR
        if number > self.now:
            self.roll(number)
        if number > self.now - WEEK_HOURS - 1:
            hour = self.hours.get(number) or self.hours.setdefault(number, Hour())
            hour.peaks.setdefault(name, []).append(peak)
            self.changed.add(number)

    def peaks(self, name: str, since: int) -> list[Peak]:
        """Those of the seconds since then, oldest first."""
        first = since // HOUR
        return sorted(
            peak
            for number, hour in self.hours.items()
            if number >= first
            for peak in hour.peaks.get(name, ())
            if peak[0] >= since
        )

    def count(self, name: str, second: int, value: float, *, step: int) -> None:
        number = second // HOUR
        if number <= self.now - WEEK_HOURS - 1:
            return
        if number > self.now:
            self.roll(number)
        pool = self._pools[name]
        place = bin_of(pool.scale, value)
        hour = self.hours.get(number) or self.hours.setdefault(number, Hour())
        counts, sums = hour.figure(name)
        counts[place] = counts.get(place, 0) + 1
        if sums.n == 0:
            before = self.hours.get(number - 1)
            earlier = None if before is None else before.sums(name)
            if earlier is not None:  # the neighbour of an hour's first value is in the hour before
                sums.last_second, sums.last = earlier.last_second, earlier.last
        sums.add(second, value, step)
        pool.hours.add(number)
        pool.add(place)
        self.changed.add(number)

    def roll(self, number: int) -> None:
        """The present hour is `number`: older ones are packed, the oldest leave the pools."""
        self.hours.setdefault(number, Hour())
        if number <= self.now:
            return
        for earlier, hour in self.hours.items():
            if earlier < number - 1:
                hour.pack()
        self.now = number
        for gone in [each for each in self.hours if each <= number - WEEK_HOURS - 1]:
            for name, pool in self._pools.items():
                if gone in pool.hours:
                    pool.drop(gone, self.hours[gone].items(name))
            del self.hours[gone]
        of_day = [each for earlier, each in self.hours.items() if number - DAY_HOURS <= earlier < number]
        self._earlier_secs = sum(each.seconds for each in of_day)
        self._earlier_quote = sum(each.quote for each in of_day), sum(each.quote_seconds for each in of_day)
        is_week = len(self.hours) >= WEEK_ENOUGH_HOURS
        day = {each for each in self.hours if each >= number - DAY_HOURS}
        # From a week: this hour of the day and its neighbours, because activity depends on the time of day.
        alike = {each for each in self.hours if (each - number + SAME_HOUR) % DAY_HOURS <= 2 * SAME_HOUR}
        for name, pool in self._pools.items():
            wanted = alike if is_week and name.startswith("score:") else day
            for each in pool.hours - wanted:
                pool.drop(each, self.hours[each].items(name))
            for each in wanted - pool.hours:
                pool.merge(each, self.hours[each].items(name))
        for before, hour in self.hours.items():
            if before not in day and before not in self.changed:
                hour.forget_levels()

    def standing(self, name: str, value: float) -> Standing | None:
        pool = self._pools[name]
        sums = [found for hour in sorted(pool.hours) if (found := self.hours[hour].sums(name)) is not None]
        return pool.standing(value, sums)

    def take_changed(self) -> list[int]:
        """The hours that changed since the last call, oldest first."""
        changed, self.changed = sorted(self.changed), set()
        return [number for number in changed if number in self.hours]

    def restore(self, blocks: Iterable[HourBlock]) -> None:
        for block in blocks:
            hour = self.hours[block.hour] = Hour()
            hour.seconds = block.seconds
            hour.packed = {name: binned for name, binned in block.figures.items() if name in self._pools}
            hour.quote, hour.quote_seconds = block.quote, block.quote_seconds
            hour.peaks = {name: list(peaks) for name, peaks in block.peaks.items()}
        if self.hours:
            self.roll(max(self.hours))

    def precede(self, older: Hours) -> None:
        """Add the hours of an earlier baseline; an hour that both have is merged."""
        for number, hour in older.hours.items():
            if number in self.hours:
                self.hours[number].take_in(hour)
                self.changed.add(number)
            else:
                self.hours[number] = hour
        self.changed |= older.changed
        self.hours = dict(sorted(self.hours.items()))
        for name, pool in self._pools.items():
            self._pools[name] = Pool(pool.scale)
        if self.hours:
            self.now = -1
            self.roll(max(self.hours))
