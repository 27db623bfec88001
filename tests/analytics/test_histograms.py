from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.analytics.ranks import percentile_rank
from vibe_orderbook_mcp.analytics.rarity import lag1_autocorrelation, n_eff
from vibe_orderbook_mcp.analytics.usual.histograms import Pool, Sums, bin_of, packed, value_of


@pytest.mark.parametrize(("value", "expected"), [(0, 0.0833), (2, 0.4167), (4, 0.75), (99, 0.9167)])
def test_ranks_worked_by_hand(value: float, expected: float) -> None:
    """7.1: base 1, 2, 2, 3, 5."""
    pool = Pool("level")
    for each in (1, 2, 2, 3, 5):
        pool.add(bin_of("level", each))
    rank = pool.rank(value)
    assert rank == pytest.approx(expected, abs=5e-5)
    assert rank == percentile_rank([1, 2, 2, 3, 5], value)


@given(st.floats(-1e5, 1e5))
def test_a_bin_is_near_its_values(value: float) -> None:
    """Half of 0.05 near the middle, one percent beyond 8; and a bin's centre is in its own bin."""
    place = bin_of("score", value)
    assert abs(value_of("score", place) - value) <= max(0.0251, 0.0101 * abs(value))
    assert bin_of("score", value_of("score", place)) == place


@given(st.lists(st.floats(-100, 100), min_size=2, max_size=50))
def test_bins_keep_the_order(values: list[float]) -> None:
    """Otherwise a rank would depend on where the bins change their width."""
    ordered = sorted(values)
    places = [bin_of("score", value) for value in ordered]
    assert places == sorted(places)


def test_rarity_is_capped_by_independent_values() -> None:
    """7.1: n_eff = n (1 - phi) / (1 + phi); a day of persistent seconds cannot give 0.9999."""
    series = [float(value // 20 % 2) for value in range(2000)]
    pool, sums = Pool("score"), Sums()
    for second, value in enumerate(series, start=1):
        pool.add(bin_of("score", value))
        sums.add(second, value, 1)
    standing = pool.standing(9.0, [sums])
    assert standing is not None
    assert standing.rank == pytest.approx(1 - 0.5 / 2001)
    assert standing.n_eff == pytest.approx(n_eff(2000, lag1_autocorrelation(series)), rel=0.01)
    assert standing.rarity == pytest.approx(1 - 1 / (standing.n_eff + 1))


def test_a_packed_hour_comes_back() -> None:
    """Bins below 0 and counts beyond 16 bits included."""
    counts = {-700: 1, 0: 3600, 5: 70_000}
    assert dict(packed(counts, Sums(n=3)).items()) == counts


def test_dropping_an_hour_undoes_merging_it() -> None:
    pool = Pool("level")
    pool.merge(1, [(0, 5), (3, 1)])
    pool.merge(2, [(3, 2)])
    pool.drop(1, [(0, 5), (3, 1)])
    assert (pool.counts, pool.n, pool.hours) == ({3: 2}, 2, {2})
    pool.drop(2, [(3, 2)])
    assert pool.rank(1.0) is None
    assert pool.quantile(0.5) is None
