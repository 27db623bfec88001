"""Large levels from birth to death, as the settled changes of a book tell them."""

from __future__ import annotations

from tests.seconds.rig import Rig
from vibe_orderbook_mcp.seconds.wall_watch import WallLife, WallLimits, WallWatch

LIMITS = WallLimits(50.0, 50.0, 95.0, 105.0)


def watch(limits: WallLimits | None = LIMITS) -> WallWatch:
    walls = WallWatch()
    walls.limits = limits
    return walls


def change(walls: WallWatch, ms: int, before: float, after: float, *, price: float = 99.0, traded: float = 0.0) -> None:
    walls.settled(("bid", price), ms, before, after, traded)


def test_a_wall_is_born_grows_and_dies() -> None:
    """Its life, the most it showed, and what was traded of it."""
    walls = watch()
    change(walls, 1_000, 1.0, 60.0)
    change(walls, 2_000, 60.0, 80.0)
    change(walls, 3_000, 80.0, 78.0, traded=2.0)
    change(walls, 4_000, 78.0, 0.0)
    assert walls.take(5_000) == (WallLife("bid", 99.0, 1_000, 4_000, 80.0, 2.0),)
    assert walls.take(6_000) == ()


def test_a_fifth_of_it_may_stay() -> None:
    """A wall is often laid on top of a level that was there."""
    walls = watch()
    change(walls, 1_000, 1.0, 60.0)
    change(walls, 2_000, 60.0, 12.1)
    assert walls.take(3_000) == ()
    change(walls, 2_000, 12.1, 12.0)
    assert len(walls.take(3_000)) == 1


def test_what_stood_before_or_far_away_is_not_born() -> None:
    """A level that was large when it was first looked at, one beyond 50 bps, and an ordinary one."""
    walls = watch()
    change(walls, 1_000, 55.0, 60.0)
    change(walls, 1_000, 0.0, 60.0, price=94.0)
    change(walls, 1_000, 0.0, 49.0, price=98.0)
    for price in (99.0, 94.0, 98.0):
        change(walls, 2_000, 60.0, 0.0, price=price)
    assert walls.take(3_000) == ()


def test_a_long_life_is_no_flicker() -> None:
    """Ten seconds, whether it is asked meanwhile or not."""
    walls = watch()
    change(walls, 1_000, 0.0, 60.0)
    change(walls, 11_000, 60.0, 0.0)
    change(walls, 1_000, 0.0, 60.0, price=98.0)
    assert walls.take(11_500) == ()
    change(walls, 11_900, 60.0, 0.0, price=98.0)
    assert walls.take(12_000) == ()


def test_without_limits_nothing_is_watched() -> None:
    """And a side without one watches nothing, while what was born before still dies."""
    walls = watch(None)
    change(walls, 1_000, 0.0, 60.0)
    assert walls.take(2_000) == ()
    walls.limits = LIMITS
    change(walls, 3_000, 0.0, 60.0)
    walls.limits = WallLimits(None, 50.0, 95.0, 105.0)
    change(walls, 4_000, 60.0, 0.0)
    change(walls, 4_000, 0.0, 60.0, price=98.0)
    change(walls, 4_500, 60.0, 0.0, price=98.0)
    assert [life.price for life in walls.take(5_000)] == [99.0]


def test_a_book_with_a_rule_tells_its_walls_by_the_second() -> None:
    """The rule is asked at the end of a second; the evidence belongs to the second whose row it comes beside."""
    rig = Rig()
    rig.tracker.wall_rule = lambda book: LIMITS
    rig.event(11_100)
    rig.event(11_200, [(99.0, 70.0)])
    rig.event(12_300, [(99.0, 7.0)])
    rig.event(14_800)
    for second, lives in ((10, 0), (11, 0), (12, 1)):
        evidence = rig.tracker.take_evidence(second)
        assert evidence is not None
        assert evidence.has_limits
        assert len(evidence.walls) == lives
    assert rig.tracker.take_evidence(12) is None


def test_a_lost_book_forgets_its_walls() -> None:
    walls = watch()
    change(walls, 1_000, 0.0, 60.0)
    walls.clear()
    change(walls, 2_000, 60.0, 0.0)
    assert walls.take(3_000) == ()
