"""Silence, and the signs that tell it from loss. Times are seconds, made into nanoseconds where they are handed in."""

from __future__ import annotations

from vibe_orderbook_mcp.market.silence import Silence
from vibe_orderbook_mcp.venues.connection import ConnectionPulse

SECOND = 1_000_000_000


def at(secs: float) -> int:
    return round(secs * SECOND)


def spoken(pace_secs: float = 0.1, events: int = 20) -> Silence:
    """A symbol that has said something `events` times; its last event came at 100 s, as did the connection's."""
    silence = Silence()
    silence.pulse = ConnectionPulse()
    for place in range(events):
        silence.event(at(100 - (events - 1 - place) * pace_secs))
    silence.pulse.frame(at(100))
    return silence


def answering(silence: Silence, secs: float) -> None:
    """The connection answered a ping that was sent 0.1 s before."""
    assert isinstance(silence.pulse, ConnectionPulse)
    silence.pulse.pong(at(secs - 0.1), at(secs))


def test_a_silent_symbol_on_a_connection_that_answers_is_quiet_for_as_long_as_it_lasts() -> None:
    """13.7 s were stale on one symbol and 43.5 s live on the next; now neither is."""
    for pace_secs in (0.1, 0.4, 1.0, 20.0):
        silence = spoken(pace_secs)
        for tenths in range(1, 600):
            now = 100 + tenths / 10
            answering(silence, now)
            if silence.is_to_ask(at(now)):
                silence.asked_ns = at(now)
                silence.same(at(now))
            assert not silence.is_stale(at(now)), (pace_secs, now)


def test_what_has_no_pace_yet_is_as_live_as_its_connection() -> None:
    silence = spoken(events=1)
    answering(silence, 150)
    assert not silence.is_stale(at(151))
    assert silence.is_stale(at(153.1))


def test_a_connection_that_does_not_answer_makes_its_symbols_stale_after_three_seconds() -> None:
    """Whatever their pace: nothing speaks for their books any more."""
    for pace_secs in (0.1, 20.0):
        silence = spoken(pace_secs)
        assert not silence.is_stale(at(102.9))
        assert silence.is_stale(at(103.1))
        silence.event(at(104))
        assert not silence.is_stale(at(104))


def test_other_symbols_on_the_connection_are_a_sign_of_life() -> None:
    silence = spoken(20.0)
    assert isinstance(silence.pulse, ConnectionPulse)
    silence.pulse.frame(at(130))
    assert not silence.is_stale(at(132))
    assert silence.pulse.seen_ns == at(130)


def test_a_stream_that_has_stopped_on_a_connection_that_answers_is_stale() -> None:
    """The exchange's own book has moved on; a pong alone would have called it live for ever."""
    silence = spoken()
    answering(silence, 101.3)
    assert silence.is_to_ask(at(101.3))
    silence.asked_ns = at(101.3)
    silence.other(at(101.5))
    assert not silence.is_behind(at(102.4))  # the event may be on its way
    assert silence.is_behind(at(102.6))
    answering(silence, 103.2)
    assert silence.is_stale(at(103.2))
    silence.event(at(103.3))
    assert not silence.is_behind(at(110))
    assert not silence.is_stale(at(103.4))


def test_while_the_exchange_cannot_be_asked_the_connection_is_what_counts() -> None:
    silence = spoken()
    silence.asked_ns = at(101.1)
    silence.unanswered()
    answering(silence, 120)
    assert not silence.is_stale(at(121))
    assert silence.is_stale(at(123.1))


def test_an_answer_that_does_not_come_is_not_waited_for_without_end() -> None:
    silence = spoken()
    for now in (101.0, 102.0, 103.0, 103.2):
        answering(silence, now)
    assert silence.is_stale(at(103.2))


def test_each_time_that_the_book_is_the_same_the_next_question_is_put_off_further() -> None:
    """A minute of silence takes some questions, not one a second; there are twenty symbols."""
    silence, asked = spoken(), []
    for tenths in range(1, 600):
        now = 100 + tenths / 10
        answering(silence, now)
        if silence.is_to_ask(at(now)):
            silence.asked_ns = at(now)
            silence.same(at(now))
            asked.append(now)
    assert 4 <= len(asked) <= 7, asked


def test_it_is_not_asked_again_while_an_answer_may_come() -> None:
    silence = spoken()
    assert not silence.is_to_ask(at(100.9))
    assert silence.is_to_ask(at(101.1))
    silence.asked_ns = at(101.1)
    assert not silence.is_to_ask(at(103))
    silence.event(at(103.5))
    assert not silence.is_to_ask(at(104.4))
    assert silence.is_to_ask(at(106.5))  # its pace is slower now: ten usual intervals are 2.7 s


def test_without_a_connection_to_go_by_the_pace_alone_decides() -> None:
    """Books that are fed by hand."""
    silence = spoken()
    silence.pulse = None
    assert not silence.is_stale(at(102.9))
    assert silence.is_stale(at(103.1))
