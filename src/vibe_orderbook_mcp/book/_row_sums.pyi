# To a reader of types it is what it compiles; tests/book/test_row_sums.py holds the two against each other.
from vibe_orderbook_mcp.book.row_sums import EventImbalance as EventImbalance
from vibe_orderbook_mcp.book.row_sums import HeldRows as HeldRows
from vibe_orderbook_mcp.book.row_sums import on_grid as on_grid
