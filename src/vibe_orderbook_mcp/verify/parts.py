"""What a venue's frames say, as far as books and trades can be proved by it. PURE.

A venue is one `VenueRules`: it turns lines into parts, says how a frame follows the book, and which proof that is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol

from vibe_orderbook_mcp.frames.lines import RecordedLine
from vibe_orderbook_mcp.model.errors import VibeError
from vibe_orderbook_mcp.model.events import DepthSnapshot, DepthUpdate

# Price and size as the venue writes them.
TextPair = tuple[str, str]
Following = Literal["next", "old", "gap"]


class UnreadableFrame(VibeError):
    """A frame of the venue that is not what its documents say. The message gives the reason."""


class BookUpdate(NamedTuple):
    """A change of a book. `bids` and `asks` are the levels of `update` as text, in the same order."""

    symbol: str
    update: DepthUpdate
    bids: Sequence[TextPair]
    asks: Sequence[TextPair]


class BookAnswer(NamedTuple):
    """A whole book. `symbol` is empty where the answer does not say whose it is."""

    symbol: str
    snapshot: DepthSnapshot
    bids: Sequence[TextPair]
    asks: Sequence[TextPair]


class BestPrices(NamedTuple):
    """The best level of each side after update `update_id`, from another channel than the book's."""

    symbol: str
    update_id: int
    bid: TextPair
    ask: TextPair


class TradeNumber(NamedTuple):
    """A trade's id in its sequence: aggregate trades and single fills of a symbol have one each."""

    symbol: str
    sequence: Literal["aggregate", "fill"]
    number: int


Part = BookUpdate | BookAnswer | BestPrices | TradeNumber


class VenueProof(NamedTuple):
    """How book and trades are known to be right; the words are those of the answers' `proof`."""

    book: str
    book_levels: int | None
    trades: str
    refill: bool


class VenueRules(Protocol):
    venue: str
    proof: VenueProof

    def part(self, line: RecordedLine) -> Part | None:
        """None for a frame that proves nothing. Raises UnreadableFrame."""

    def follows(self, last_id: int, update: DepthUpdate) -> Following:
        """How an update follows the one, or the book, that ended with `last_id`."""

    def joins(self, answer_id: int, update: DepthUpdate) -> bool:
        """Whether the update is the first one to apply to a book that stood at `answer_id`."""

    def name(self, symbol: str) -> str:
        """The instrument's name to users."""
