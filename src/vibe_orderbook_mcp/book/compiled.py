"""The choice between the compiled part of the core and the same code in Python.

VIBE_PURE_PYTHON=1 selects plain Python, for tests and comparisons. It is read once, here. It changes which code runs,
never a result.
"""

from __future__ import annotations

import contextlib
import os
from inspect import isfunction, signature

from vibe_orderbook_mcp.book.book_side import BookSide, Ladder
from vibe_orderbook_mcp.book.row_sums import EventImbalance, HeldRows, on_grid

IS_COMPILED = False


def _check(kind: type, built: type) -> None:
    """Raises AttributeError if the compiled module lacks a name or has other arguments."""
    for name, own in vars(kind).items():
        if name[0] == "_":
            continue
        other = getattr(built, name)
        if isfunction(own) and [*signature(own).parameters] != [*signature(other).parameters]:
            raise AttributeError(name)


if os.environ.get("VIBE_PURE_PYTHON", "") in ("", "0"):
    # Compiled from an older source, they may not fit this code or each other (KeyError, ValueError on import):
    # scripts/setup builds them again.
    with contextlib.suppress(ImportError, AttributeError, KeyError, TypeError, ValueError):
        from vibe_orderbook_mcp.book import _book_side as sides
        from vibe_orderbook_mcp.book import _row_sums as sums

        pairs = (
            (BookSide, sides.BookSide),
            (Ladder, sides.Ladder),
            (HeldRows, sums.HeldRows),
            (EventImbalance, sums.EventImbalance),
        )
        for kind, built in pairs:
            _check(kind, built)
        built_all = sides.BookSide, sides.Ladder, sums.HeldRows, sums.EventImbalance, sums.on_grid
        BookSide, Ladder, HeldRows, EventImbalance, on_grid = built_all  # type: ignore[misc]  # the same to who reads types
        IS_COMPILED = True

__all__ = ["IS_COMPILED", "BookSide", "EventImbalance", "HeldRows", "Ladder", "on_grid"]
