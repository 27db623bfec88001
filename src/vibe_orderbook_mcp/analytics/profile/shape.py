"""The shape of a profile: point of control, value area, high and low volume nodes.

Volumes are whole lots, one for every bin of the range, so that ties are ties and shares are exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor
from typing import Literal

ValueAreaRule = Literal["cbot", "single_row"]

VALUE_AREA_PERCENT = 70
CLEAR_LEAD_PERCENT = 10
SMOOTH_ABOVE_BINS = 50

Run = tuple[int, int]  # first and last bin, both included


@dataclass(frozen=True, slots=True)
class ValueArea:
    first: int
    last: int
    share: float  # reached; a full pair of rows may overshoot 0.7
    last_rows: int = 0  # of the last step: 2, 1, or 0 if the point of control alone was enough
    last_share: float = 0.0  # share of the volume that this step added


def point_of_control(volume: Sequence[int]) -> int | None:
    """The bin with most volume. Ties: nearest to the middle of the range, then the heavier half, then the lower."""
    top = max(volume, default=0)
    if top <= 0:
        return None
    doubled_middle = len(volume) - 1
    tied = [index for index, amount in enumerate(volume) if amount == top]
    nearest = min(abs(2 * index - doubled_middle) for index in tied)
    tied = [index for index in tied if abs(2 * index - doubled_middle) == nearest]
    if len(tied) == 1:
        return tied[0]
    lower_half = sum(volume[: len(volume) // 2])
    upper_half = sum(volume[(len(volume) + 1) // 2 :])
    return tied[1] if upper_half > lower_half else tied[0]


@dataclass(frozen=True, slots=True)
class Lead:
    """The lead of the point of control over the other bins. `rivals`: bins within 10 % of it, largest first."""

    percent: float | None  # lead over the largest of them; None if no other bin traded
    rivals: tuple[int, ...]


def lead(volume: Sequence[int], control: int) -> Lead:
    """Bins differ by chance: below 10 % another day of the same market may have its most traded price elsewhere."""
    others = sorted((index for index in range(len(volume)) if index != control), key=lambda index: -volume[index])
    top = volume[control]
    if not others or volume[others[0]] == 0:
        return Lead(None, ())
    rivals = tuple(index for index in others if 100 * top < (100 + CLEAR_LEAD_PERCENT) * volume[index])
    return Lead(100 * (top / volume[others[0]] - 1), rivals)


def value_area(volume: Sequence[int], rule: ValueAreaRule = "cbot", total: int | None = None) -> ValueArea | None:
    """Rows around the point of control with 70 % of the volume; of `total` if some volume is not in rows.

    `cbot` compares the next two rows above with the next two below and takes the larger pair; `single_row` compares
    one with one. A tie goes above; near an end the remaining rows are the pair.
    """
    control = point_of_control(volume)
    if control is None:
        return None
    rows = 2 if rule == "cbot" else 1
    total, held = sum(volume) if total is None else total, volume[control]
    first = last = control
    step: Sequence[int] = ()
    while 100 * held < VALUE_AREA_PERCENT * total and (first > 0 or last < len(volume) - 1):
        above, below = volume[last + 1 : last + 1 + rows], volume[max(0, first - rows) : first]
        if above and (not below or sum(above) >= sum(below)):
            step = above
            last += len(above)
        else:
            step = below
            first -= len(below)
        held += sum(step)
    return ValueArea(first, last, held / total, len(step), sum(step) / total)


def quantile(values: Sequence[float], part: float) -> float:
    """Hyndman-Fan type 7, the usual one: linear between order statistics."""
    ordered = sorted(values)
    position = (len(ordered) - 1) * part
    at = floor(position)
    return ordered[at] + (position - at) * (ordered[min(at + 1, len(ordered) - 1)] - ordered[at])


def nodes(volume: Sequence[int]) -> tuple[list[Run], list[Run]]:
    """High volume nodes (local maxima in the top quarter) and low ones (interior minima in the bottom quarter).

    Neighbouring bins that both qualify are one node. Profiles of more than 50 bins are smoothed first.
    """
    if not any(volume):
        return [], []
    if len(volume) > SMOOTH_ABOVE_BINS:
        volume = smoothed(volume)
    low_cut, high_cut = quantile(volume, 0.25), quantile(volume, 0.75)
    high = [
        index
        for index, amount in enumerate(volume)
        if amount >= high_cut and amount > 0 and amount == max(volume[max(0, index - 1) : index + 2])
    ]
    low = [
        index
        for index, amount in enumerate(volume[1:-1], 1)
        if amount <= low_cut and amount == min(volume[index - 1 : index + 2])
    ]
    return runs(high), runs(low)


def smoothed(volume: Sequence[int]) -> list[int]:
    """(1, 2, 1) / 4 without the division, which no comparison needs; volume beyond the ends is 0."""
    padded = (0, *volume, 0)
    return [padded[i - 1] + 2 * padded[i] + padded[i + 1] for i in range(1, len(padded) - 1)]


def runs(indices: Sequence[int]) -> list[Run]:
    """Ascending indices as runs of neighbours."""
    out: list[Run] = []
    for index in indices:
        if out and index == out[-1][1] + 1:
            out[-1] = (out[-1][0], index)
        else:
            out.append((index, index))
    return out
