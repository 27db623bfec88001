"""Whether the compiled part of the core serves, or the Python that it stands for. Both do the same.

VIBE_PURE_PYTHON=1 leaves the compiled one alone, for tests and comparisons. It is read once, here, and chooses which
code runs, never what it answers.
"""

from __future__ import annotations

import contextlib
import os

from vibe_orderbook_mcp.core.book_side import BookSide, Ladder
from vibe_orderbook_mcp.core.row_sums import Imbalance, on_grid, settle_rows

IS_COMPILED = False
if os.environ.get("VIBE_PURE_PYTHON", "") in ("", "0"):
    with contextlib.suppress(ImportError, ValueError):  # ValueError: the two were not built from one source
        from vibe_orderbook_mcp.core import _book_side as built
        from vibe_orderbook_mcp.core import _row_sums as sums

        # One that was built from an older source may lack something: scripts/setup builds it anew.
        surface = {kind.__name__: [name for name in vars(kind) if name[0] != "_"] for kind in (BookSide, Ladder)}
        if all(hasattr(getattr(built, kind, None), name) for kind, names in surface.items() for name in names):
            BookSide, Ladder, IS_COMPILED = built.BookSide, built.Ladder, True  # type: ignore[misc]  # the same types
            Imbalance, on_grid, settle_rows = sums.Imbalance, sums.on_grid, sums.settle_rows  # type: ignore[misc]

__all__ = ["IS_COMPILED", "BookSide", "Imbalance", "Ladder", "on_grid", "settle_rows"]
