"""Whether the compiled part of the core serves, or the Python that it stands for. Both do the same.

VIBE_PURE_PYTHON=1 leaves the compiled one alone, for tests and comparisons. It is read once, here, and chooses which
code runs, never what it answers.
"""

from __future__ import annotations

import contextlib
import os

from vibe_orderbook_mcp.core.book_side import BookSide, Ladder

IS_COMPILED = False
if os.environ.get("VIBE_PURE_PYTHON", "") in ("", "0"):
    with contextlib.suppress(ImportError):
        from vibe_orderbook_mcp.core._book_side import BookSide, Ladder

        IS_COMPILED = True

__all__ = ["IS_COMPILED", "BookSide", "Ladder"]
