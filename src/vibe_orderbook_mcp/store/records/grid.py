"""Doubles to whole steps of 10^-exp and back, without losing a bit. PURE

The double of a decimal of up to 15 digits is the one nearest to it. `steps / 10**exp` on Python integers is correctly
rounded, so it returns that same double for any size of the two.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from operator import sub
from typing import Final

from vibe_orderbook_mcp.model.errors import StorageError

MAX_EXP: Final = 22  # 10**22 is the largest power of ten that is exact as a double
POWERS: Final[tuple[int, ...]] = tuple(10**exp for exp in range(MAX_EXP + 1))
_FLOAT_POWERS: Final[tuple[float, ...]] = tuple(float(power) for power in POWERS)
_MAX_STEPS: Final = 2**63 - 1
_EXACT_STEPS: Final = 2**53
_NOISE: Final = 0.01


class OffGrid(StorageError):
    """A value with too many digits for an exact 64-bit number."""

    def __init__(self, value: float) -> None:
        super().__init__(f"The value {value!r} has too many digits to be stored exactly.")
        self.value = value


def to_steps(value: float, exp: int) -> int:
    """Nearest step. Exact when the value is on the grid and has no more than 15 digits."""
    return round(value * _FLOAT_POWERS[exp])


def exact_steps(values: list[float], exp: int) -> tuple[int, list[int]]:
    """Steps for which `steps / 10**exp` gives the same values, and the exponent: `exp`, or more if a value needs it.

    It is more if the exchange changed the symbol's tick or step size after its spec was read. Raises `OffGrid`.
    """
    power, scale = POWERS[exp], _FLOAT_POWERS[exp]
    steps = [round(value * scale) for value in values]
    # Every value of every second passes here: one pass in the usual case of all values on the grid.
    if [step / power for step in steps] == values and max(steps, default=0) <= _MAX_STEPS >= -min(steps, default=0):
        return exp, steps
    exp = _exact_exp(values, exp)
    return exp, [_exact_step(value, exp) for value in values]


def sum_steps(values: list[float], exp: int) -> tuple[int, list[int]]:
    """Like `exact_steps` for sums of on-grid doubles, which carry rounding noise: a hundredth of a step is noise.

    Beyond the 15 digits of a double, noise and number cannot be distinguished: stop there.
    """
    scale = _FLOAT_POWERS[exp]
    scaled = [value * scale for value in values]
    steps = [round(value) for value in scaled]
    if max(map(abs, map(sub, scaled, steps)), default=0.0) < _NOISE:
        return exp, steps
    exp = _sum_exp(values, exp)
    return exp, [to_steps(value, exp) for value in values]


def _exact_exp(values: Iterable[float], exp: int) -> int:
    """The smallest exponent, at least `exp`, with every value on its grid."""
    power, scale = POWERS[exp], _FLOAT_POWERS[exp]
    for value in values:
        if round(value * scale) / power != value:
            exp = max(exp, _places(value))
            if exp > MAX_EXP:
                raise OffGrid(value)
            power, scale = POWERS[exp], _FLOAT_POWERS[exp]
    return exp


def _exact_step(value: float, exp: int) -> int:
    power = POWERS[exp]
    step = round(value * _FLOAT_POWERS[exp])
    if step / power != value:
        step = int(Decimal(repr(value)).scaleb(exp))
        if step / power != value:
            raise OffGrid(value)
    if not -_MAX_STEPS <= step <= _MAX_STEPS:
        raise OffGrid(value)
    return step


def _sum_exp(values: Iterable[float], exp: int) -> int:
    for value in values:
        while exp < MAX_EXP:
            scaled = value * _FLOAT_POWERS[exp]
            if abs(scaled) >= _EXACT_STEPS / 80 or abs(scaled - round(scaled)) < _NOISE:
                break
            exp += 1
    return exp


def _places(value: float) -> int:
    exponent = Decimal(repr(value)).as_tuple().exponent
    if not isinstance(exponent, int):  # NaN or infinity
        raise OffGrid(value)
    return max(0, -exponent)
