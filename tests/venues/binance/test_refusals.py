from __future__ import annotations

import pytest

from vibe_orderbook_mcp.venues.binance.refusals import LONGEST_WAIT_SECS, RefusalBody, parse_reply, wait_secs

NOW = 1_792_570_080.0  # Wed, 21 Oct 2026 08:08:00 GMT
DATE = {"Date": "Wed, 21 Oct 2026 08:08:00 GMT"}
BAN = "Way too much request weight used; IP banned until %d. Please use WebSocket Streams."


def banned(until_secs: float, code: int = -1003) -> RefusalBody:
    return RefusalBody(code, BAN % round(until_secs * 1000))


def test_a_ban_told_in_the_body_is_kept_to_whatever_the_status() -> None:
    """The exchange tells the moment in the text alone: 418 without a header meant two minutes before."""
    for status in (418, 429, 403, 400):
        assert wait_secs(status, DATE, banned(NOW + 1800), NOW) == pytest.approx(1800)


def test_the_longer_of_two_delays_counts() -> None:
    assert wait_secs(418, {**DATE, "Retry-After": "30"}, banned(NOW + 1800), NOW) == pytest.approx(1800)
    assert wait_secs(418, {**DATE, "Retry-After": "3000"}, banned(NOW + 1800), NOW) == 3000


def test_a_delay_told_as_a_date_is_kept_to() -> None:
    headers = {**DATE, "Retry-After": "Wed, 21 Oct 2026 08:13:00 GMT"}
    assert wait_secs(429, headers, RefusalBody(), NOW) == 300


def test_the_answers_own_date_is_the_clock_where_this_machines_is_wrong() -> None:
    """A laptop that is an hour behind would wait for an hour too long, and one that is ahead not at all."""
    for wrong_secs in (-3600.0, 3600.0):
        assert wait_secs(418, DATE, banned(NOW + 600), NOW + wrong_secs) == pytest.approx(600)
    assert wait_secs(418, DATE, banned(NOW + 600), NOW + 0.7) == pytest.approx(599.3)  # a `Date` has whole seconds
    assert wait_secs(418, {}, banned(NOW + 600), NOW) == pytest.approx(600)


def test_a_moment_that_has_passed_is_no_delay() -> None:
    assert wait_secs(429, {**DATE, "Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, RefusalBody(), NOW) == 60
    assert wait_secs(418, DATE, banned(NOW - 5), NOW) == 120


def test_no_ban_is_longer_than_the_exchanges_longest() -> None:
    assert wait_secs(418, DATE, banned(NOW + 10**7), NOW) == LONGEST_WAIT_SECS


@pytest.mark.parametrize(
    "reply",
    [banned(NOW + 600, code=-1121), RefusalBody(-1003, "x"), RefusalBody(-1003, "banned until 12"), RefusalBody()],
)
def test_a_refusal_that_tells_no_delay_asks_for_none(reply: RefusalBody) -> None:
    assert wait_secs(400, DATE, reply, NOW) is None
    assert wait_secs(418, DATE, reply, NOW) == 120


def test_a_body_that_is_not_the_exchanges_own_tells_nothing() -> None:
    for body in (b"", b"<html>", b"[1]", b'{"code":"x"}', b"\xff", b"[" * 100_000):
        assert parse_reply(body) == RefusalBody()
    assert parse_reply(b'{"code":-1121,"msg":{"a":1}}').code == -1121
