# For type checkers this is the class that it compiles; tests/book/test_book.py compares the two.
from vibe_orderbook_mcp.book.book_side import BookSide as BookSide
from vibe_orderbook_mcp.book.book_side import Ladder as Ladder
