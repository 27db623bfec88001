"""Moves of mid against the hour before: the cap, the tick, the horizons, and what breaks them."""

from __future__ import annotations

import random
from math import log, sqrt

import pytest

from tests.analytics.rows import T0, row
from vibe_orderbook_mcp.analytics.usual.price_moves import PriceMoves, price_z, second_variance
from vibe_orderbook_mcp.model.rows import RowFlag, SecondRow

TICK = 0.01


def squares(returns: list[float]) -> list[float]:
    return sorted(each * each for each in returns)


HOUR = [0.0] * 300 + [4.0, -4.0] * 25 + [8.0, -8.0] * 5  # 360 returns of 10 s; one tick is 4 bps


def test_the_numbers_worked_by_hand() -> None:
    variance = second_variance(squares(HOUR))
    assert variance == pytest.approx(0.4)
    assert price_z(8, 1, variance, 8.2) == pytest.approx(0.975610, abs=1e-6)  # one tick is never a shock
    assert price_z(30, 10, variance, 8.2) == pytest.approx(3.658537, abs=1e-6)  # the tick is the larger yardstick
    assert price_z(-80, 60, variance, 2.0) == pytest.approx(16.329932, abs=1e-6)


def test_one_jump_does_not_blind_the_test_to_the_next() -> None:
    usual, jumped = second_variance(squares(HOUR)), [*HOUR[:-1], 200.0]
    assert second_variance(squares(jumped)) < 1.05 * usual
    assert sum(squares(jumped)) / len(jumped) / 10 > 25 * usual


def wandering(count: int, seed: int = 1) -> list[SecondRow]:
    rng, mid, rows = random.Random(seed), 60_000.0, []
    for second in range(count):
        mid = round(mid + 0.01 * round(rng.gauss(0, 200)), 2)
        rows.append(row(second, mid=mid))
    return rows


def expected(rows: list[SecondRow], at: int) -> tuple[float, int]:
    """The slow way: every figure from all rows, by its definition."""
    mids = {each.second: each.mid for each in rows[: at + 1]}
    now = rows[at].second

    def move(second: int, secs: int) -> float:
        return 1e4 * log(mids[second] / mids[second - secs])  # type: ignore[operator]  # all are known

    grid = [second for second in mids if (second + 1) % 10 == 0 and second - 10 in mids]
    newest = (now + 1) // 10 * 10 - 1
    found = squares([move(second, 10) for second in grid if newest - 3600 < second <= newest - 60])
    cap_at = 0.98 * (len(found) - 1)
    cap = found[int(cap_at)] + (found[min(int(cap_at) + 1, len(found) - 1)] - found[int(cap_at)]) * (cap_at % 1)
    variance = sum(min(each, cap) for each in found) / len(found) / 10
    tick_bps = 1e4 * TICK / mids[now]  # type: ignore[operator]
    return max((abs(move(now, secs)) / max(sqrt(variance * secs), tick_bps), secs) for secs in (1, 10, 60))


@pytest.mark.parametrize("at", [960, 1234, 3599, 3660, 5000])
def test_it_is_what_a_slow_computation_says(at: int) -> None:
    rows, moves = wandering(at + 1), PriceMoves(TICK)
    found = [moves.second(each) for each in rows][-1]
    z, secs = expected(rows, at)
    assert found is not None
    assert found.z == pytest.approx(z)
    assert found.secs == secs
    assert abs(found.bps) > 0


def test_below_fifteen_minutes_there_is_no_value() -> None:
    moves = PriceMoves(TICK)
    told = [moves.second(each) is not None for each in wandering(1000)]
    first = told.index(True)
    assert 900 <= first <= 920
    assert all(told[first:])


@pytest.mark.parametrize("flag", [RowFlag.GAP, RowFlag.RESYNC, RowFlag.CROSSED, RowFlag.DISCONNECTED, RowFlag.PARTIAL])
def test_no_move_is_measured_across_a_break(flag: RowFlag) -> None:
    """What happened while the book was not known is not known; each horizon waits until it lies behind the break."""
    rows = wandering(1100)
    rows[1000] = row(1000, mid=66_000.0, flags=int(flag))
    for place in range(1001, 1100):
        rows[place] = row(place, mid=66_000.0 + 0.01 * (place % 3))
    moves = PriceMoves(TICK)
    found = [moves.second(each) for each in rows]
    assert found[1000] is found[1001] is None
    assert found[1002] is not None
    assert all(each is not None and each.z < 1 for each in found[1002:])
    missing = PriceMoves(TICK)
    found = [missing.second(each) for each in rows[:1000] + rows[1001:]]
    assert all(each is None or each.z < 1 for each in found[1000:])


def test_a_mid_that_is_not_known_is_no_break() -> None:
    """A symbol that says nothing for a second: its mid before and after can be compared."""
    rows = wandering(1000)
    rows[990] = row(990, covered_ms=0)
    moves = PriceMoves(TICK)
    found = [moves.second(each) for each in rows]
    assert found[990] is None
    assert found[991] is not None
    assert moves.move_bps(10) is not None


def test_hours_that_are_over_stop_counting_though_nothing_moves() -> None:
    """After a stop of an hour there is no value until there are fifteen minutes again."""
    moves = PriceMoves(TICK)
    for each in wandering(1500):
        moves.second(each)
    assert moves.variance is not None
    for second in range(5200, 5300):
        moves.second(SecondRow(second=T0 + second, covered_ms=1000, mid=60_000.0))
    assert moves.variance is None


def test_what_was_seen_before_can_be_put_before() -> None:
    rows = wandering(3000)
    whole, older, newer = PriceMoves(TICK), PriceMoves(TICK), PriceMoves(TICK)
    for each in rows:
        whole.second(each)
    for each in rows[:2000]:
        older.second(each)
    for each in rows[2000:]:
        newer.second(each)
    newer.precede(older)
    assert newer.variance == pytest.approx(whole.variance, rel=0.02)  # but for the returns across the seam
