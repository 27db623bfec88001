"""Whether the compiled part of the core serves, or the Python that it stands for. Both do the same.

VIBE_PURE_PYTHON=1 leaves the compiled one alone, for tests and comparisons. It is read once, here, and chooses which
code runs, never what it answers.
"""

from __future__ import annotations

import contextlib
import os
from inspect import isfunction, signature

from vibe_orderbook_mcp.book.book_side import BookSide, Ladder
from vibe_orderbook_mcp.book.row_sums import EventImbalance, HeldRows, on_grid

IS_COMPILED = False


def _check(kind: type, built: type) -> None:
    """Raises AttributeError where what was built lacks something, or is asked for it with other arguments."""
    for name, own in vars(kind).items():
        if name[0] == "_":
            continue
        other = getattr(built, name)
        if isfunction(own) and [*signature(own).parameters] != [*signature(other).parameters]:
            raise AttributeError(name)


if os.environ.get("VIBE_PURE_PYTHON", "") in ("", "0"):
    # Built from an older source they may not fit what is here, or each other (KeyError, ValueError where one takes the
    # other in): scripts/setup builds anew.
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
