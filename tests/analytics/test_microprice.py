from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vibe_orderbook_mcp.analytics.microprice import (
    MIN_TRANSITIONS,
    MicropriceTable,
    mirror,
    solve,
    solve_antisymmetric,
)
from vibe_orderbook_mcp.book.touch_steps import BUCKETS, TouchSteps, state_of

TICK = 0.01

# The two-state chain: 0 = ask-heavy, 1 = bid-heavy, spread fixed.
Q = [[0.50, 0.20], [0.20, 0.50]]
R = [[0.24, 0.06], [0.06, 0.24]]  # mid falls, rises by half a tick
RK = [-0.5 * down + 0.5 * up for down, up in R]
T = [[0.24 * 0.4 + 0.06 * 0.6, 0.24 * 0.6 + 0.06 * 0.4], [0.06 * 0.4 + 0.24 * 0.6, 0.06 * 0.6 + 0.24 * 0.4]]


def test_the_two_state_chain_worked_by_hand() -> None:
    """G1 = +-0.128571 and, in closed form, G* = 0.027 / 0.2208 ticks."""
    both = [[q + t for q, t in zip(*rows, strict=True)] for rows in zip(Q, T, strict=True)]
    assert solve_antisymmetric(Q, RK, buckets=2) == pytest.approx([-0.1285714286, 0.1285714286], abs=1e-9)
    assert solve_antisymmetric(both, RK, buckets=2) == pytest.approx([-0.027 / 0.2208, 0.027 / 0.2208], abs=1e-9)


def test_the_half_system_equals_the_papers_series() -> None:
    """G* = sum of B^i G1 with B = (I - Q)^-1 T, added up term by term as the paper writes it."""
    inverse = [[0.5 / 0.21, 0.2 / 0.21], [0.2 / 0.21, 0.5 / 0.21]]
    step = [[sum(inverse[i][k] * T[k][j] for k in range(2)) for j in range(2)] for i in range(2)]
    term = [sum(inverse[i][k] * RK[k] for k in range(2)) for i in range(2)]
    total = list(term)
    for _ in range(60):
        term = [sum(step[i][k] * term[k] for k in range(2)) for i in range(2)]
        total = [a + b for a, b in zip(total, term, strict=True)]
    both = [[q + t for q, t in zip(*rows, strict=True)] for rows in zip(Q, T, strict=True)]
    assert solve_antisymmetric(both, RK, buckets=2) == pytest.approx(total, abs=1e-12)


def test_a_chain_that_never_leaves_a_state_has_no_answer() -> None:
    """A singular system is "unknown", not a crash and not a huge number."""
    assert solve_antisymmetric([[1.0, 0.0], [0.0, 1.0]], [-0.1, 0.1], buckets=2) is None


# A chain over ten deciles at a spread of one tick, symmetric under swapping the sides.
def _rises(decile: int) -> float:
    return 0.02 + 0.012 * decile


def _stays(decile: int) -> list[float]:
    weights = [1.0 / (1.0 + abs(decile - other)) for other in range(BUCKETS)]
    still = 1.0 - _rises(decile) - _rises(9 - decile)
    return [still * weight / sum(weights) for weight in weights]


_AFTER_A_RISE = [0.05, 0.1, 0.2, 0.2, 0.15, 0.1, 0.1, 0.05, 0.03, 0.02]


def _true_adjustments() -> list[float]:
    """Expected sum of all mid changes by power series over the whole chain: no mirror trick, no solver."""
    chain = [
        [stay + _rises(x) * _AFTER_A_RISE[y] + _rises(9 - x) * _AFTER_A_RISE[9 - y] for y, stay in enumerate(_stays(x))]
        for x in range(BUCKETS)
    ]
    term = [_rises(x) - _rises(9 - x) for x in range(BUCKETS)]
    total = list(term)
    for _ in range(2000):
        term = [sum(p * g for p, g in zip(row, term, strict=True)) for row in chain]
        total = [a + b for a, b in zip(total, term, strict=True)]
    return total


def _simulate(model: TouchSteps, events: int, seed: int = 5) -> None:
    rng = random.Random(seed)
    decile, ticks = 4, 10_000
    for _ in range(events):
        model.observe(ticks * TICK, decile + 0.5, (ticks + 1) * TICK, 9.5 - decile)
        draw = rng.random()
        if draw < _rises(decile):
            ticks += 1
            (decile,) = rng.choices(range(BUCKETS), _AFTER_A_RISE)
        elif draw < _rises(decile) + _rises(9 - decile):
            ticks -= 1
            (decile,) = rng.choices(range(BUCKETS), _AFTER_A_RISE[::-1])
        else:
            (decile,) = rng.choices(range(BUCKETS), _stays(decile))


def test_a_simulated_chain_gives_back_its_true_adjustments() -> None:
    """The estimator must recover a G that is known without it."""
    model = TouchSteps(TICK)
    _simulate(model, 150_000)
    table = solve(model)
    assert table is not None
    truth = _true_adjustments()
    assert max(truth) > 0.15
    assert table.adjustments == pytest.approx(truth, abs=0.02)
    assert table.transitions == model.transitions == 149_999


def test_too_few_transitions_give_no_table() -> None:
    """Below 20 000 transitions the answer stays the weighted mid."""
    model = TouchSteps(TICK)
    _simulate(model, MIN_TRANSITIONS)  # the first one is no transition
    assert solve(model) is None
    _simulate(model, 2)
    assert solve(model) is not None


def test_a_state_that_was_hardly_seen_gives_no_table() -> None:
    """Every decile of the spread must have been visited 200 times."""
    model = TouchSteps(TICK)
    for i in range(30_000):
        ticks, decile = 10_000 + i % 2, i % 8 + 1  # deciles 0 and 9 never occur
        model.observe(ticks * TICK, decile + 0.5, (ticks + 1) * TICK, 9.5 - decile)
    assert solve(model) is None


def test_a_symbol_that_jumps_many_ticks_is_not_described_by_the_chain() -> None:
    """Where the tick is far below a usual price change, a model of one-tick moves would be a wrong figure."""
    model = TouchSteps(TICK)
    _simulate(model, 30_000)
    assert solve(model) is not None
    for i in range(1_000):
        ticks = 10_000 + 50 * (i % 2)
        model.observe(ticks * TICK, 1.0, (ticks + 1) * TICK, 1.0)
    assert solve(model) is None


def test_spreads_beyond_the_last_are_left_out() -> None:
    """A rare wide spread neither breaks the chain for good nor gets an adjustment."""
    model = TouchSteps(TICK, max_spread_ticks=2)
    _simulate(model, 30_000)
    model.observe(100.00, 1.0, 100.05, 1.0)
    model.observe(100.00, 1.0, 100.02, 1.0)  # two ticks: allowed, but seen once
    table = solve(model)
    assert table is not None
    assert len(table.adjustments) == BUCKETS
    assert table.price(100.0, 1.0, 100.02, 3.0, TICK) is None
    assert table.price(100.0, 1.0, 100.01, 3.0, TICK) is not None


def test_a_gap_breaks_the_chain() -> None:
    """The state after a resync does not follow from the one before."""
    model = TouchSteps(TICK)
    model.observe(100.0, 1.0, 100.01, 1.0)
    model.break_chain()
    model.observe(100.0, 1.0, 100.01, 1.0)
    assert model.transitions == 0
    model.observe(100.0, 1.0, 100.01, 1.0)
    assert model.transitions == 1


def test_a_mid_that_never_moves_gives_no_table() -> None:
    """Without one mid change there is nothing to learn from."""
    model = TouchSteps(TICK)
    for i in range(30_000):
        model.observe(100.0, i % 10 + 0.5, 100.01, 9.5 - i % 10)
    assert solve(model) is None


def test_equal_sizes_leave_mid_where_it_is() -> None:
    """The edge between the middle deciles belongs to neither side."""
    table = MicropriceTable(tuple([-0.3] * 5 + [0.3] * 5), 20_000)
    assert table.price(100.0, 2.0, 100.01, 2.0, TICK) == pytest.approx(100.005)
    assert table.price(100.0, 3.0, 100.01, 2.0, TICK) == pytest.approx(100.008)
    assert table.price(100.0, 0.0, 100.01, 0.0, TICK) is None
    assert table.price(100.01, 1.0, 100.0, 1.0, TICK) is None


def test_an_adjustment_beyond_the_touch_stops_at_the_touch() -> None:
    """A fair price outside the quotes would be taken for a fault."""
    table = MicropriceTable(tuple([-5.0] * 5 + [5.0] * 5), 20_000)
    assert table.price(100.0, 3.0, 100.01, 1.0, TICK) == 100.01
    assert table.price(100.0, 1.0, 100.01, 3.0, TICK) == 100.0


@settings(deadline=None)
@given(st.floats(1e-8, 1e9), st.floats(1e-8, 1e9), st.integers(1, 6))
def test_swapping_the_sizes_mirrors_the_state(bid_size: float, ask_size: float, spread: int) -> None:
    """Swap sides and the sign flips, on decile edges too."""
    there = state_of(1.0, bid_size, 1.0 + spread * TICK, ask_size, TICK)
    back = state_of(1.0, ask_size, 1.0 + spread * TICK, bid_size, TICK)
    assert there is not None
    assert back == (there if bid_size == ask_size else mirror(there))
