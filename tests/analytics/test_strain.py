"""How little of a book is left and how expensive it is, together, against what the symbol's own episodes come to."""

from __future__ import annotations

import random

import pytest

from tests.analytics.rows import T0
from tests.analytics.test_detectors import calm, thin
from tests.analytics.watching import WARM_SECS, feed, warm
from vibe_orderbook_mcp.analytics.anomalies.strain import MOST_HALVINGS, NAME, OwnStrain, Strain, strain_of
from vibe_orderbook_mcp.analytics.findings import Finding
from vibe_orderbook_mcp.analytics.usual.baseline import Baseline
from vibe_orderbook_mcp.analytics.usual.hours import decode, encode
from vibe_orderbook_mcp.analytics.usual.tails import VALUES_NEEDED

NOW = T0 + WARM_SECS
EVERY_SECS = 150


@pytest.mark.parametrize(
    ("drop", "dearness", "halvings"),
    [
        (0.5, 1.0, 1.0),
        (0.875, 8.0, 6.0),
        (0.999_999, 1.0, 9.965784),  # no less than a thousandth is left
        (0.499, 8.0, None),
        (0.9, 0.99, None),
        (0.9, 0.0, None),
        (None, 8.0, None),
    ],
)
def test_the_numbers_worked_by_hand(drop: float | None, dearness: float, halvings: float | None) -> None:
    assert strain_of(drop, dearness) == (None if halvings is None else pytest.approx(halvings))


class Day(Baseline):
    seconds = 86_400  # it was watched


def run(own: OwnStrain, baseline: Baseline, values: list[float | None], start: int, *, is_told: bool = False) -> None:
    for second, value in enumerate(values, start):
        own.second(second, value, baseline, is_told=is_told)


def episodes(own: OwnStrain, baseline: Baseline, peaks: list[float]) -> int:
    """Each of three seconds, two minutes apart. Returns the second after them."""
    for place, peak in enumerate(peaks):
        run(own, baseline, [peak] * 3 + [None] * 117, NOW + 120 * place)
    return NOW + 120 * len(peaks)


def test_it_is_the_least_of_three_seconds_in_a_row_and_is_remembered_for_ten() -> None:
    baseline, own = warm().baseline, OwnStrain()
    run(own, baseline, [9.0, 9.0, None, 9.0, 9.0], NOW)
    assert own.strongest is None
    told: list[Strain | None] = []
    for second, value in enumerate([4.0, 3.0, *[None] * 10], NOW + 5):
        own.second(second, value, baseline, is_told=False)
        told.append(own.strongest)
    assert told == [(4.0, None)] * 10 + [(3.0, None), None]


def test_until_enough_episodes_are_known_nothing_is_asked_of_it() -> None:
    baseline, own = warm().baseline, OwnStrain()
    after = episodes(own, baseline, [2.0] * (VALUES_NEEDED - 1))
    told: list[Strain | None] = []
    for second, value in enumerate([1.5] * 3 + [None] * 117 + [1.5] * 3, after):
        own.second(second, value, baseline, is_told=False)
        told.append(own.strongest)
    young, later = told[2], told[-1]
    assert young == Strain(1.5, None)
    assert young is not None
    assert young.is_rare
    assert later is not None
    assert later.limit is not None
    assert not later.is_rare


def test_one_crash_does_not_hide_the_next() -> None:
    """What was rare counts as what would just have been."""
    rng = random.Random(1)
    peaks = [1.0 + rng.expovariate(1.0) for _ in range(100)]
    baseline, own = Day(0.01), OwnStrain()
    after = episodes(own, baseline, peaks)
    run(own, baseline, [12.0] * 10 + [None] * 110, after)
    run(own, baseline, [12.0] * 3, after + 120)
    first_limit = max(value for _, value in baseline.peaks(NAME, after))
    assert max(peaks) < first_limit < 12.0
    assert own.strongest is not None
    assert own.strongest.is_rare
    young, own = warm().baseline, OwnStrain()
    run(own, young, [12.0] * 10 + [None] * 110, NOW, is_told=True)
    assert young.peaks(NAME, 0) == []


def test_what_is_asked_has_a_bound() -> None:
    """Two of sixteen episodes far out, within hours: without a bound an emptied book would not be enough."""
    baseline, own = warm().baseline, OwnStrain()
    after = episodes(own, baseline, [7.0, 7.5] + [1.5] * (VALUES_NEEDED - 2))
    run(own, baseline, [MOST_HALVINGS] * 3, after)
    assert own.strongest == Strain(MOST_HALVINGS, MOST_HALVINGS)
    assert Strain(MOST_HALVINGS, MOST_HALVINGS).is_rare


def test_peaks_survive_a_restart() -> None:
    baseline, own = warm().baseline, OwnStrain()
    episodes(own, baseline, [2.0, 3.0])
    again = Baseline(0.01)
    again.restore([decode(encode(block)) for block in baseline.take_blocks()])
    assert [value for _, value in again.peaks(NAME, 0)] == [2.0, 3.0]
    episodes(OwnStrain(), again, [2.0, 3.0])  # the rows behind the stored hours are seen again
    assert [value for _, value in again.peaks(NAME, 0)] == [2.0, 3.0]


def crashes(found: list[Finding]) -> list[Finding]:
    return [each for each in found if each.type == "crash_precursor"]


def test_a_book_that_is_often_so_strained_is_told_only_when_it_is_more_than_that() -> None:
    """The deepest of forty episodes is a record, and no crash; nothing left at twenty times the spread is one."""
    watch, rng = warm(), random.Random(2)
    depths = [0.49 * 2 ** -rng.expovariate(1.4) for _ in range(40)]
    for place, depth in enumerate(depths):
        start = WARM_SECS + EVERY_SECS * place
        feed(watch, [*thin(4, start=start, depth=depth, spread=12.0), *calm(start + 4, EVERY_SECS - 4)])
    after = WARM_SECS + EVERY_SECS * len(depths)
    record = thin(8, start=after, depth=0.95 * min(depths), spread=12.0)
    assert crashes(feed(watch, [*record, *calm(after + 8, 112)])) == []
    found = crashes(feed(watch, thin(8, start=after + 120, depth=0.01, spread=60.0)))
    assert found
    limit, strain = found[-1].thresholds["strain_halvings"], float(found[-1].evidence["strain_halvings"])
    assert 4.0 < limit < strain
    assert strain == pytest.approx(10.96 - 1.58, abs=0.5)  # log2 of 100, and of 20 / 3
    again = after + 128
    feed(watch, [*thin(11, start=again, depth=0.3, spread=12.0), *thin(2, start=again + 11, depth=0.005, spread=60.0)])
    (deeper,) = crashes(list(watch.open))
    assert deeper.evidence["depth_drop"] == pytest.approx(0.995, abs=0.001)  # two seconds, too few for a strain
    assert deeper.evidence["strain_halvings"] == strain  # what opened it stays beside its limit
    assert deeper.thresholds["strain_halvings"] == limit
