"""The micro-price of Stoikov: where mid is expected to settle, given imbalance and spread.

The book's state is a decile of imbalance at the touch and a spread in ticks. From the sequence of states and mid
changes the expected sum of all future mid changes follows,

    G* = sum over i of B^i G1,  G1 = (I - Q)^-1 R K,  B = (I - Q)^-1 T

with Q the moves between states that leave mid alone, T those that change it, and R K the expected change. Mirrored
observations are added, which makes G antisymmetric in imbalance and the sum converge. For an antisymmetric G the
three formulas are one linear system over half of the states, G* = (I - (Q + T)')^-1 R K, where a primed matrix
subtracts the mirrored columns; that is what is solved here.

The chain describes books whose mid moves by half a tick or a tick. Where larger moves are common (a tick far below
the usual price change, as on BTCUSDT) it does not apply and `solve` says None.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vibe_orderbook_mcp.book.touch_steps import BUCKETS, TouchSteps, state_of

MIN_TRANSITIONS = 20_000
MIN_VISITS = 200
MAX_LEFT_OUT = 0.05  # share of mid changes that the chain cannot represent; our choice

_SINGULAR = 1e-12


@dataclass(frozen=True, slots=True)
class MicropriceTable:
    """G* in ticks by state: spread 1's deciles of imbalance from ask-heavy to bid-heavy, then spread 2's, ..."""

    adjustments: tuple[float, ...]
    transitions: int

    def price(self, bid: float, bid_size: float, ask: float, ask_size: float, tick: float) -> float | None:
        """mid + G*, clamped to the touch. None for a state that is not in the table."""
        state = state_of(bid, bid_size, ask, ask_size, tick)
        if state is None or state >= len(self.adjustments):
            return None
        # Equal sizes are on the edge between the middle deciles, and their adjustments cancel.
        adjustment = 0.0 if bid_size == ask_size else self.adjustments[state]
        return min(max(bid + (ask - bid) / 2 + adjustment * tick, bid), ask)


def solve(steps: TouchSteps) -> MicropriceTable | None:
    """G* from the observations so far, or None if they are too few or do not fit the chain."""
    spreads = _used_spreads(steps)
    used = range(BUCKETS * spreads)
    counts = [[steps.stayed[x][y] + steps.moved[x][y] for y in used] for x in used]
    transitions = sum(map(sum, counts))
    kept_moves = sum(steps.moved[x][y] for x in used for y in used)
    if transitions < MIN_TRANSITIONS or kept_moves == 0:
        return None
    if steps.moves - kept_moves > MAX_LEFT_OUT * steps.moves:
        return None
    # Symmetrised: every observation counts once as seen and once mirrored.
    mirrored = [[counts[x][y] + counts[mirror(x)][mirror(y)] for y in used] for x in used]
    visits = [sum(row) for row in mirrored]
    if min(visits) < MIN_VISITS:
        return None
    drift = [sum(steps.drift[x][:spreads]) for x in used]
    probabilities = [[count / visits[x] for count in mirrored[x]] for x in used]
    expected = [0.5 * (drift[x] - drift[mirror(x)]) / visits[x] for x in used]
    solved = solve_antisymmetric(probabilities, expected)
    return None if solved is None else MicropriceTable(tuple(solved), transitions)


def _used_spreads(steps: TouchSteps) -> int:
    """Spreads 1..n with enough observations in every decile, mirrored ones included."""
    states = range(BUCKETS * steps.spreads)
    seen = [sum(steps.stayed[x]) + sum(steps.moved[x]) for x in states]
    for spread in range(steps.spreads):
        first = spread * BUCKETS
        if any(seen[x] + seen[mirror(x)] < MIN_VISITS for x in range(first, first + BUCKETS)):
            return spread
    return steps.spreads


def mirror(state: int, buckets: int = BUCKETS) -> int:
    """The same spread with the sides swapped."""
    return state + buckets - 1 - 2 * (state % buckets)


def solve_antisymmetric(
    transition: Sequence[Sequence[float]], drift: Sequence[float], buckets: int = BUCKETS
) -> list[float] | None:
    """x with x = drift + transition x, given that both mirror: x[mirror(i)] = -x[i]. None if there is no solution.

    With Q for `transition` this is G1, with Q + T it is G*.
    """
    upper = [state for state in range(len(drift)) if state % buckets >= buckets / 2]
    system = [
        [(x == y) - (transition[x][y] - transition[x][mirror(y, buckets)]) for y in upper] + [drift[x]] for x in upper
    ]
    half = _gauss(system)
    if half is None:
        return None
    out = [0.0] * len(drift)
    for state, value in zip(upper, half, strict=True):
        out[state] = value
        out[mirror(state, buckets)] = -value
    return out


def _gauss(system: list[list[float]]) -> list[float] | None:
    """Solve rows of [coefficients..., right side] with partial pivoting; None when singular."""
    size = len(system)
    for column in range(size):
        pivot = max(range(column, size), key=lambda row: abs(system[row][column]))
        if abs(system[pivot][column]) < _SINGULAR:
            return None
        system[column], system[pivot] = system[pivot], system[column]
        head = system[column]
        for row in system[column + 1 :]:
            factor = row[column] / head[column]
            if factor:
                for at in range(column, size + 1):
                    row[at] -= factor * head[at]
    solution = [0.0] * size
    for at in reversed(range(size)):
        known = sum(system[at][j] * solution[j] for j in range(at + 1, size))
        solution[at] = (system[at][size] - known) / system[at][at]
    return solution
