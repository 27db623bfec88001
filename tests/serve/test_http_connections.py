"""Which connection makes room."""

from __future__ import annotations

from vibe_orderbook_mcp.serve.connections import Connections


class Noted:
    """A connection that notes whether it had to go."""

    def __init__(self) -> None:
        self.has_gone = False

    def give_way(self) -> None:
        self.has_gone = True


def entered(places: Connections, count: int, now_secs: float = 0.0) -> list[Noted]:
    made = [Noted() for _ in range(count)]
    assert all(places.enter(connection, now_secs) for connection in made)
    return made


def test_the_longest_idle_stranger_goes_first_and_bytes_that_trickle_do_not_make_it_younger() -> None:
    places = Connections(limit=2, spare=1, rest_secs=10.0)
    first, second, third = entered(places, 3)
    places.wait(first, 5.0, was_let_in=False)  # a byte more of its head
    entered(places, 1, 6.0)
    assert [connection.has_gone for connection in (first, second, third)] == [True, False, False]
    places.work(second)
    places.wait(second, 7.0, was_let_in=False)  # it asked, and was refused
    entered(places, 1, 8.0)
    assert [connection.has_gone for connection in (first, second, third)] == [True, False, True]
    assert len(places) == 3


def test_who_was_let_in_goes_after_all_strangers_and_not_right_after_its_request() -> None:
    places = Connections(limit=1, spare=1, rest_secs=10.0)
    guest, stranger = entered(places, 2)
    places.work(guest)
    places.wait(guest, 1.0, was_let_in=True)
    (further,) = entered(places, 1, 50.0)
    assert (guest.has_gone, stranger.has_gone) == (False, True)
    places.work(further)
    places.wait(further, 51.0, was_let_in=True)
    (last,) = entered(places, 1, 52.0)
    assert (guest.has_gone, further.has_gone) == (True, False)
    places.work(last)
    places.wait(last, 53.0, was_let_in=True)
    assert not places.enter(Noted(), 54.0)  # each was at work less than ten seconds ago
    assert places.enter(Noted(), 61.0)
    assert further.has_gone


def is_full(places: Connections) -> bool:
    """mypy would believe that a property stays as it was."""
    return places.is_full


def test_what_is_worked_on_makes_no_room_and_beyond_the_limit_only_probes_are_answered() -> None:
    places = Connections(limit=2, spare=1, rest_secs=0.0)
    working = entered(places, 2)
    for connection in working:
        places.work(connection)
    (further,) = entered(places, 1)
    assert not is_full(places)  # nobody knows yet what it asks
    places.work(further)
    assert is_full(places)
    assert not places.enter(Noted(), 99.0)
    assert not any(connection.has_gone for connection in (*working, further))
    places.leave(working[0])
    places.leave(working[0])
    assert not is_full(places)
    places.wait(working[0], 99.0, was_let_in=False)  # what still comes of a connection that has gone counts for nothing
    assert len(places) == 2
