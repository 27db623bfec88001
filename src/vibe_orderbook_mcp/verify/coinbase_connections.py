"""The counters of connections to Coinbase Advanced Trade. A recording may have several of them. PURE.

`sequence_num` counts the messages of one connection from 0, and no message says which connection it came on. So each
message continues any connection whose last number it follows: connections that stand at one number are alike, and it
does not matter which of them is taken. A message that continues none has lost some before it; which books those were
of cannot be known.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

# A connection has ended when this many messages came on others since its last one.
ENDED_AFTER: Final = 5_000


class CoinbasePlace(NamedTuple):
    """How a message follows, and the number of the first one that is missing before it."""

    how: Literal["next", "late", "gap"]
    expected: int


class CoinbaseConnections:
    def __init__(self) -> None:
        self._open: list[tuple[int, int]] = []  # last number of each, and which message of all that was
        self._count = 0
        self._opened = 0

    def place(self, number: int, opened: int) -> CoinbasePlace:
        """`opened` counts the connections that the recording itself says were opened so far, one after the other."""
        if opened != self._opened:
            self._opened = opened
            self._open.clear()
        self._count += 1
        self._open = [each for each in self._open if self._count - each[1] <= ENDED_AFTER]
        before = [each for each in self._open if each[0] < number]
        if number and self._open and not before:
            return CoinbasePlace("late", number)
        last = max(before) if number and before else None
        if last is not None:
            self._open.remove(last)
        self._open.append((number, self._count))
        is_next = last is None or last[0] == number - 1
        return CoinbasePlace("next" if is_next else "gap", number if last is None else last[0] + 1)
