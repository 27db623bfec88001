"""The symbol's own band: chosen from its spread, its tick and a day of its depth, and kept until two days agree."""

from __future__ import annotations

import random
from math import exp, log
from statistics import median

import msgspec
import pytest

from tests.analytics.books import BTC
from tests.analytics.rows import T0
from tests.analytics.watching import quiet_row, warm
from vibe_orderbook_mcp.analytics.anomalies.watch import SymbolWatch
from vibe_orderbook_mcp.analytics.usual.figures import NOTHING
from vibe_orderbook_mcp.analytics.usual.histograms import Pool, bin_of
from vibe_orderbook_mcp.analytics.usual.hours import decode
from vibe_orderbook_mcp.analytics.usual.own_band import BandChoice, BandFacts, OwnBand, facts_of, own_band, robust_sd
from vibe_orderbook_mcp.model.rows import BANDS_BPS

DAY = 86_400


def facts(*log_sds: float, empty: float = 0.0) -> dict[int, BandFacts]:
    """For 5, 10, 25, 50 and 100 bps."""
    return {bps: BandFacts(sd, empty) for bps, sd in zip(BANDS_BPS, log_sds, strict=True)}


@pytest.mark.parametrize(
    ("spread", "tick", "log_sds", "band"),
    [
        pytest.param(0.0016, 0.0016, (0.29, 0.18, 0.11, 0.12, 0.14), 5, id="btc"),
        pytest.param(0.037, 0.037, (0.43, 0.26, 0.12, 0.06, 0.06), 10, id="eth"),
        pytest.param(8.2, 8.2, (1.3, 1.26, 0.8, 0.30, 0.12), 50, id="a tick of 8 bps"),
        pytest.param(3.0, 0.1, (0.1, 0.1, 0.1, 0.1, 0.1), 25, id="four spreads"),
        pytest.param(0.1, 6.5, (0.1, 0.1, 0.1, 0.1, 0.1), 50, id="four ticks"),
        pytest.param(0.1, 0.1, (0.9, 0.9, 0.9, 0.9, 0.9), 100, id="none is steady: the widest"),
        pytest.param(0.1, 0.1, (0.35, 0.1, 0.1, 0.1, 0.1), 5, id="just steady"),
    ],
)
def test_the_narrowest_band_that_is_wide_and_steady(
    spread: float, tick: float, log_sds: tuple[float, ...], band: int
) -> None:
    assert own_band(spread, tick, facts(*log_sds)) == band


def test_a_band_that_is_often_empty_or_often_unknown_is_none() -> None:
    known = facts(0.1, 0.1, 0.1, 0.1, 0.1)
    assert own_band(0.1, 0.1, {**known, 5: BandFacts(0.1, empty=0.0011)}) == 10
    assert own_band(0.1, 0.1, {**known, 5: BandFacts(0.1, 0.0, known=0.98)}) == 10
    # None is steady, and the book is known as far as 25 bps only.
    shallow = {bps: BandFacts(0.9, 0.0, known=1.0 if bps <= 25 else 0.5) for bps in BANDS_BPS}
    assert own_band(0.1, 0.1, shallow) == 25
    assert own_band(0.1, 0.1, {}) is None


def test_what_a_day_of_amounts_says_of_a_band() -> None:
    """The robust sd to the width of a bin, the share of empty seconds, and of those that are known."""
    rng = random.Random(3)
    values = [rng.gauss(11.0, 0.4) for _ in range(5000)]
    pools = [Pool("level") for _ in BANDS_BPS]
    for value in values:
        for pool in pools[:4]:
            pool.add(bin_of("level", value))
    for _ in range(10):
        pools[0].add(bin_of("level", log(NOTHING)))
    middle = median(values)
    assert robust_sd(pools[1]) == pytest.approx(1.4826 * median(abs(value - middle) for value in values), abs=0.03)
    found = facts_of(pools)
    assert set(found) == {5, 10, 25, 50}
    assert found[5].empty == pytest.approx(10 / 5010)
    assert (found[10].empty, found[5].known) == (0.0, 1.0)
    assert found[10].known == pytest.approx(5000 / 5010)
    assert robust_sd(Pool("level")) == 0.0


def test_another_band_has_to_be_chosen_on_two_days_in_a_row() -> None:
    kept = BandChoice(10, day=1)
    assert kept.after(10, 2) == BandChoice(10, 2)
    once = kept.after(25, 2)
    assert (once.bps, once.candidate) == (10, 25)
    assert once.after(25, 3) == BandChoice(25, 3, before=10)
    assert once.after(25, 3).after(25, 4) == BandChoice(25, 4)  # a day later nobody compares with it any more
    assert once.after(10, 3) == BandChoice(10, 3)
    assert once.after(50, 3) == BandChoice(10, 3, candidate=50)


def test_the_band_is_looked_at_at_fifteen_minutes_at_an_hour_and_at_midnight() -> None:
    """The choice of an hour replaces the one of fifteen minutes at once; after that two days have to agree."""
    band, pools = OwnBand(), [Pool("level") for _ in BANDS_BPS]

    def seen(count: int, sd: float) -> None:
        rng = random.Random(count)
        for place, pool in enumerate(pools):
            for _ in range(count):
                pool.add(bin_of("level", rng.gauss(10.0, sd if place == 0 else 0.1)))

    seen(899, 0.1)
    assert not band.look(899, 0.01, 0.01, pools)
    assert band.place is None
    seen(1, 0.1)
    assert band.look(900, 0.01, 0.01, pools)
    assert band.choice == BandChoice(5, 0, is_settled=False)
    seen(2700, 0.9)
    assert band.look(3600, 0.01, 0.01, pools)
    assert band.choice == BandChoice(10, 0, before=5)
    assert not band.look(3601, 3.0, 0.01, pools)  # not due
    assert not band.look(DAY, 3.0, 0.01, pools)
    assert band.choice == BandChoice(10, 1, candidate=25)
    assert band.look(2 * DAY, 3.0, 0.01, pools)
    assert band.choice == BandChoice(25, 2, before=10)


def test_a_watched_symbol_knows_its_band_and_what_is_usual_within_it() -> None:
    """5 bps of a spread of 0.0017 bps, whose amounts vary by a tenth; medians are to 1 %."""
    baseline = warm().baseline
    usual = baseline.usual_depth
    assert baseline.band == BandChoice(5, T0 // DAY)
    assert usual is not None
    assert (usual.band_bps, usual.place) == (5, 0)
    assert usual.bid == pytest.approx(1e5, rel=0.02)
    assert usual.ask == pytest.approx(1e5, rel=0.02)


def test_a_coarse_tick_gets_a_wide_band() -> None:
    """Narrow bands of it hold nothing, or one level that comes and goes."""
    watch, rng = SymbolWatch(BTC), random.Random(5)
    for second in range(1100):
        flicker, steady = exp(rng.gauss(0, 1.0)), exp(rng.gauss(0, 0.1))
        amounts = (0.0, 0.0, 3e4 * flicker, 2e5 * steady, 5e5 * steady)
        watch.second(
            quiet_row(
                second,
                bid_band_quote=amounts,
                ask_band_quote=amounts,
                bid_band_base=tuple(each / 60_000 for each in amounts),
                ask_band_base=tuple(each / 60_000 for each in amounts),
            )
        )
    assert watch.baseline.band is not None
    assert watch.baseline.band.bps == 50
    # The trailing hour within it is known though it was chosen only now.
    assert watch.baseline.median("depth_own") == pytest.approx(2e5, rel=0.05)


def test_an_hour_that_was_stored_before_there_was_a_band_still_opens() -> None:
    """Its figures count; what it does not have is learned from now on."""
    block = warm().baseline.take_blocks()[0]
    figures = {name: each for name, each in block.figures.items() if "_" not in name.removeprefix("level:minute_")}
    old = msgspec.msgpack.encode((1, block.hour, block.until, block.seconds, figures, block.excluded))
    read = decode(old)
    assert (read.seconds, read.quote_seconds, read.peaks, read.band) == (3600, 0, {}, None)
    watch = SymbolWatch(BTC)
    watch.restore([old], [])
    assert watch.baseline.seconds == 3600
    assert watch.baseline.mean_quote is None
