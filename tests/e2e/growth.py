"""Whether a figure that was looked at again and again grows. Pure; used by `scripts/soak`.

Two things must not look like growth: noise in a short run, and a machine that has no time for the program. So medians
are compared instead of single looks, every rule allows a fixed amount beside its rate, and looks at which the program
had to wait for a processor do not count for figures that depend on time.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

BUSY_PERCENT = 10.0  # of the time that the program could run and did not get a processor
FEWEST_LOOKS = 3  # of a third


class Rule(NamedTuple):
    """A figure may rise by `slack`, and by `an_hour` in an hour."""

    name: str
    an_hour: float
    slack: float
    is_of_time: bool  # whether it depends on how much of a processor the program gets
    why: str


class Growth(NamedTuple):
    """What came of one rule. `risen` is None where there were too few looks to say."""

    risen: float | None
    allowed: float

    @property
    def is_fine(self) -> bool:
        return self.risen is None or self.risen <= self.allowed


def growth(rule: Rule, hours: Sequence[float], values: Sequence[float], busy_percent: Sequence[float]) -> Growth:
    """From the first to the last third of the looks, by their medians. `hours` ascend; all have one entry a look."""
    kept = [
        (hour, value)
        for hour, value, busy in zip(hours, values, busy_percent, strict=True)
        if not rule.is_of_time or busy < BUSY_PERCENT
    ]
    begin, length = hours[0], hours[-1] - hours[0]
    first = [(hour, value) for hour, value in kept if hour <= begin + length / 3]
    last = [(hour, value) for hour, value in kept if hour >= begin + 2 * length / 3]
    if min(len(first), len(last)) < FEWEST_LOOKS:
        return Growth(None, rule.slack)
    passed = median(hour for hour, _ in last) - median(hour for hour, _ in first)
    risen = median(value for _, value in last) - median(value for _, value in first)
    return Growth(risen, rule.slack + rule.an_hour * passed)
