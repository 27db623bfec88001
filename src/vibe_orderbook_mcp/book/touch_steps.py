"""State changes of the best prices, event by event; the micro-price is learned from them. Pure.

A state is a decile of the imbalance at the touch and a spread in ticks. A step either leaves mid alone or moves it.
"""

from __future__ import annotations

BUCKETS = 10
MAX_SPREAD_TICKS = 4
MAX_MOVE_HALF_TICKS = 2


class TouchSteps:
    """Counts steps between states, one depth event at a time, in constant time and memory."""

    __slots__ = ("_mid", "_state", "_tick", "_touch", "drift", "moved", "moves", "spreads", "stayed")

    def __init__(self, tick: float, *, max_spread_ticks: int = MAX_SPREAD_TICKS) -> None:
        """`tick` is the smallest price step."""
        self._tick = tick
        states = BUCKETS * max_spread_ticks
        self.spreads = max_spread_ticks
        self.stayed = [[0] * states for _ in range(states)]  # transitions without a mid change
        self.moved = [[0] * states for _ in range(states)]  # transitions with one
        # Sum of mid changes in half ticks by state before and spread after.
        self.drift = [[0] * max_spread_ticks for _ in range(states)]
        self.moves = 0
        self._state: int | None = None
        self._mid: int | None = None
        self._touch: tuple[float, float, float, float] | None = None  # that `_state` and `_mid` are of

    def observe(self, bid: float, bid_size: float, ask: float, ask_size: float) -> None:
        """The best prices and their sizes after a depth event."""
        touch = bid, bid_size, ask, ask_size
        if touch == self._touch:
            if (same := self._state) is not None:
                self.stayed[same][same] += 1
            return
        self._touch = touch
        state = state_of(bid, bid_size, ask, ask_size, self._tick)
        if state is not None and state >= BUCKETS * self.spreads:
            state = None
        middle = round((bid + ask) / self._tick)
        before, middle_before = self._state, self._mid
        self._state, self._mid = state, middle
        if middle_before is None:
            return
        move = middle - middle_before
        if move:
            self.moves += 1
        if before is None or state is None or abs(move) > MAX_MOVE_HALF_TICKS:
            return
        if move:
            self.moved[before][state] += 1
            self.drift[before][state // BUCKETS] += move
        else:
            self.stayed[before][state] += 1

    def break_chain(self) -> None:
        """After a gap or resync: the next state does not follow from the last one."""
        self._state = self._mid = self._touch = None

    @property
    def transitions(self) -> int:
        return sum(map(sum, self.stayed)) + sum(map(sum, self.moved))


def state_of(bid: float, bid_size: float, ask: float, ask_size: float, tick: float) -> int | None:
    """The state's number: (spread in ticks - 1) * 10 + decile of bid_size / (bid_size + ask_size)."""
    total = bid_size + ask_size
    spread = round((ask - bid) / tick)
    if spread < 1 or total <= 0.0:
        return None
    # Each half is counted from its own end, so that swapping the sides mirrors the decile exactly.
    if bid_size >= ask_size:
        decile = BUCKETS - 1 - min(int(BUCKETS * (ask_size / total)), BUCKETS // 2 - 1)
    else:
        decile = min(int(BUCKETS * (bid_size / total)), BUCKETS // 2 - 1)
    return (spread - 1) * BUCKETS + decile
