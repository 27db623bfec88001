from __future__ import annotations

import pytest

from vibe_orderbook_mcp.collect.places import KEPT_SECS, QUESTION_SECS, NoRoom, Places


def filled(limit: int = 4, eager: tuple[str, ...] = ("BTC",)) -> tuple[Places, set[str]]:
    """All places taken, by eager symbols and by A, B, ... which were asked for a minute after each other."""
    places, wanted = Places(limit, eager), set(eager)
    for place in range(limit - len(eager)):
        assert places.take("ABCDEFGH"[place], wanted, 60.0 * place) is None
        wanted.add("ABCDEFGH"[place])
    return places, wanted


def test_the_least_recently_asked_symbol_makes_room() -> None:
    """The places went to the first callers, until a restart."""
    places, wanted = filled()
    places.ask("A", 130.0)
    assert places.take("NEW", wanted, 60.0 + KEPT_SECS) == "B"
    wanted = (wanted - {"B"}) | {"NEW"}
    assert places.take("B", wanted, 120.0 + KEPT_SECS + QUESTION_SECS) == "C"


def test_nobody_leaves_within_ten_minutes_of_a_question_about_it() -> None:
    places, wanted = filled()
    with pytest.raises(NoRoom) as caught:
        places.take("NEW", wanted, KEPT_SECS - 1.0)
    assert caught.value.retry_after_secs == pytest.approx(1.0)
    assert not caught.value.is_burst
    for symbol in "ABC":
        places.ask(symbol, KEPT_SECS + 500.0)
    with pytest.raises(NoRoom):
        places.take("NEW", wanted, KEPT_SECS + 1000.0)


def test_eager_symbols_never_leave() -> None:
    places = Places(2, ("BTC", "ETH"))
    with pytest.raises(NoRoom):
        places.take("NEW", {"BTC", "ETH"}, 1e9)
    places, wanted = filled()
    assert places.take("NEW", wanted, 1e9) == "A"  # BTC was asked for even less


def test_one_question_takes_no_more_than_half_of_the_places() -> None:
    """A client that asks about everything at once does not drive out what others use."""
    places, wanted = filled(8, ("BTC", "ETH"))
    now = 1e6
    for place in range(4):
        leaving = places.take(f"NEW{place}", wanted, now)
        assert leaving == "ABCD"[place]
        wanted = (wanted - {leaving}) | {f"NEW{place}"}
    with pytest.raises(NoRoom) as caught:
        places.take("NEW5", wanted, now)
    assert caught.value.is_burst
    assert caught.value.retry_after_secs == pytest.approx(QUESTION_SECS)
    assert wanted == {"BTC", "ETH", "E", "F", "NEW0", "NEW1", "NEW2", "NEW3"}
    assert places.take("LATER", wanted, now + QUESTION_SECS) is not None


def test_a_symbol_that_is_kept_or_waited_for_takes_no_second_place() -> None:
    places, wanted = filled()
    assert places.take("A", wanted, 1e6) is None
    assert places.take("NEW", wanted, 1e6 + 1) == "B"  # A was asked for just now
    places.ask("UNKNOWN", 1e6)


def test_the_only_place_can_be_had_too() -> None:
    places = Places(1, ())
    assert places.take("A", set(), 0.0) is None
    with pytest.raises(NoRoom):
        places.take("B", {"A"}, 1.0)
    assert places.take("B", {"A"}, KEPT_SECS) == "A"
