# For type checkers this is the module that it compiles; tests/book/test_row_sums.py compares the two.
from vibe_orderbook_mcp.book.row_sums import EventImbalance as EventImbalance
from vibe_orderbook_mcp.book.row_sums import HeldRows as HeldRows
from vibe_orderbook_mcp.book.row_sums import on_grid as on_grid
