from __future__ import annotations

from vibe_orderbook_mcp.market.clock import ExchangeClock
from vibe_orderbook_mcp.model.events import PLAUSIBLE_MS

NS = 1_000_000  # a millisecond
START_MS = 1_700_000_000_000


def test_it_is_unknown_before_the_first_event() -> None:
    """A laptop's own clock may be seconds off; there is nothing to guess from."""
    assert ExchangeClock().now_ms(5 * NS) is None


def test_time_goes_on_between_events() -> None:
    """Seconds of a symbol that is quiet are closed by it."""
    clock = ExchangeClock()
    clock.observe(START_MS, 1_000 * NS)
    assert clock.now_ms(1_000 * NS) == START_MS
    assert clock.now_ms(3_500 * NS) == START_MS + 2_500


def test_the_event_that_was_delayed_least_tells_the_time() -> None:
    """The network can only make an event late, never early."""
    clock = ExchangeClock()
    for delay in (80, 20, 300, 50):
        clock.observe(START_MS, (1_000 + delay) * NS)
    assert clock.now_ms(1_020 * NS) == START_MS
    clock.observe(START_MS, 1_010 * NS)
    assert clock.now_ms(1_010 * NS) == START_MS


def test_one_implausible_stamp_is_not_believed() -> None:
    """It would close hours of seconds. Those that agree with each other are not, either, if a good one is between."""
    clock = ExchangeClock()
    clock.observe(START_MS, 0)
    for _ in range(3):
        clock.observe(START_MS + 3_600_000, 100 * NS)
        clock.observe(START_MS + 200, 200 * NS)
        assert clock.now_ms(200 * NS) == START_MS + 200
    clock.observe(0, 300 * NS)
    clock.observe(START_MS + 3_600_000, 300 * NS)  # two, but of different opinions
    assert clock.now_ms(300 * NS) == START_MS + 300


def test_two_stamps_that_agree_are() -> None:
    """The machine slept, or a recording was started again: the old offset is the wrong one."""
    clock = ExchangeClock()
    clock.observe(START_MS, 0)
    clock.observe(START_MS + 3_600_000, 100 * NS)
    clock.observe(START_MS + 3_600_100, 200 * NS)
    assert clock.now_ms(200 * NS) == START_MS + 3_600_100
    clock.observe(5_000, 300 * NS)
    clock.observe(5_100, 400 * NS)
    assert clock.now_ms(400 * NS) == 5_100


def test_a_replay_at_another_speed_is_followed() -> None:
    """Slower as well as faster: old offsets are forgotten after a few seconds."""
    for speed in (0.2, 0.5, 2.0, 10.0):
        clock = ExchangeClock()
        for step in range(200):
            received_ms = step * 100
            clock.observe(START_MS + int(received_ms * speed), received_ms * NS)
        now_ms = clock.now_ms(19_900 * NS)
        assert now_ms is not None
        assert abs(now_ms - (START_MS + int(19_900 * speed))) < 4_500


def test_a_drift_within_reason_is_no_surprise() -> None:
    """Ten seconds of delay can happen to a congested line."""
    clock = ExchangeClock()
    clock.observe(START_MS, 0)
    clock.observe(START_MS, PLAUSIBLE_MS * NS)
    assert clock.now_ms(PLAUSIBLE_MS * NS) == START_MS + PLAUSIBLE_MS
    clock.observe(START_MS + 3_000, (PLAUSIBLE_MS + 3_000) * NS)
    clock.observe(START_MS + 6_000, (PLAUSIBLE_MS + 6_000) * NS)
    assert clock.now_ms((PLAUSIBLE_MS + 6_000) * NS) == START_MS + 6_000
