from __future__ import annotations

from itertools import islice

from vibe_orderbook_mcp.process.pace import delays


def test_each_delay_lies_between_half_its_step_and_the_whole() -> None:
    """Doubling up to a bound: a long outage is neither hammered nor noticed an hour after it ended."""
    steps = [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]
    for _ in range(50):
        for step, delay in zip(steps, islice(delays(), len(steps)), strict=True):
            assert step / 2 <= delay <= step


def test_two_clients_do_not_come_in_step() -> None:
    """After an outage everybody returns; at the same moment they would be the next one."""
    assert list(islice(delays(), 8)) != list(islice(delays(), 8))


def test_first_most_and_factor_can_be_set() -> None:
    """A quick retry and a patient one are the same thing with other numbers."""
    for step, delay in zip([1.0, 3.0, 5.0, 5.0], islice(delays(1.0, 5.0, 3.0), 4), strict=True):
        assert step / 2 <= delay <= step
