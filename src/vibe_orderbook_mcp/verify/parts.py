"""What a venue's frames say, as far as books and trades can be proved by it. PURE.

A venue is one `VenueRules`: it turns lines into parts, says how a frame follows the book, and which proof that is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol

import msgspec

from vibe_orderbook_mcp.frames.lines import RecordedLine
from vibe_orderbook_mcp.model.errors import VibeError
from vibe_orderbook_mcp.model.events import Level, Side
from vibe_orderbook_mcp.model.instrument import Proof


def _ids(frame: LevelsFrame) -> tuple[int, int]:
    """The first and the last one, which each frame has."""
    return frame.first_id or 0, frame.final_id or 0


# Price and size as the venue writes them.
TextPair = tuple[str, str]
Following = Literal["next", "old", "gap"]
BookProof = Literal["update_ids", "checksum", "connection_sequence", "snapshots_only", "none"]


class UnreadableFrame(VibeError):
    """A frame of the venue that is not what its documents say. The message gives the reason."""


class Whole(NamedTuple):
    """A frame with a whole book, which takes the place of what was known.

    `depth`: how many levels a side were subscribed to, where the venue's rule is about that number.
    """

    depth: int | None = None


class LevelsFrame(NamedTuple):
    """Absolute new sizes of the levels of a book, in the frame's order; size 0 removes a level.

    `channel` is the one that the book is kept from: books of two channels are two books. An id is None where the venue
    has none. `previous_id` is the one that this frame says it continues. `at` orders it among `TouchPrices`.
    `proved_by` is the strongest rule that its venue offers for such a frame.
    """

    symbol: str
    channel: str
    bids: Sequence[TextPair]
    asks: Sequence[TextPair]
    proved_by: BookProof
    whole: Whole | None = None
    first_id: int | None = None
    final_id: int | None = None
    previous_id: int | None = None
    shared_id: int | None = None  # what `BestPrices` go by, where that is not `final_id`
    checksum: int | None = None
    at: int | None = None


class BookAnswer(NamedTuple):
    """A whole book over REST. `symbol` is empty where the answer does not say whose it is."""

    symbol: str
    update_id: int
    bids: Sequence[TextPair]
    asks: Sequence[TextPair]


class BestPrices(NamedTuple):
    """The best level of each side after update `update_id`, from another channel than the book's."""

    symbol: str
    update_id: int
    bid: TextPair
    ask: TextPair


class TouchPrices(NamedTuple):
    """Best prices that go by no id of the book: they agree with it nearly always, and prove nothing.

    `at` is the venue's time, by which frames of the book go too; None: the order of the recording. A price of None is
    not said.
    """

    symbol: str
    bid: str | None
    ask: str | None
    at: int | None = None


class TradeIds(NamedTuple):
    """The ids `first` to `last` of one trade, or of fills that were added up.

    Aggregate trades and single fills of a symbol have a sequence each. `is_old`: it happened before the recording.
    `maker` and `price`: on which side of the book the trade was, where the venue says the maker's side.
    """

    symbol: str
    sequence: Literal["aggregate", "fill"]
    first: int
    last: int
    is_old: bool = False
    maker: Side | None = None
    price: str = ""


class TradeName(NamedTuple):
    """A trade whose id is no number that follows another."""

    symbol: str
    name: str


class TradesReached(NamedTuple):
    """The venue says that this was the last trade: all before it must have come."""

    symbol: str
    last: int


class FramesLost(NamedTuple):
    """Frames of a connection are missing, of whichever instruments they were: no book can be continued."""

    why: str


class FrameAgain(NamedTuple):
    """A frame of a book that came before, or too late: the connection is past it."""

    symbol: str
    channel: str
    why: str


Part = (
    LevelsFrame | BookAnswer | BestPrices | TouchPrices | TradeIds | TradeName | TradesReached | FramesLost | FrameAgain
)


class TextLevels(Protocol):
    """The best levels of a book, as a checksum needs them."""

    def top(self, side: Side, count: int) -> list[TextPair]:
        """Best first."""


class VenueRules:
    """One venue. An object serves one run: it may count what comes on a connection."""

    venue: str
    proof: Proof
    checked_levels: int | None = None  # a side, that a checksum covers
    # Best prices of the same id alone, or the newest at or before the book's id: what the venue's channel allows.
    compared: Literal["equal", "newest"] = "equal"
    # What becomes of levels beyond the depth that was subscribed to: they have to be cut off, or none may be there.
    beyond_depth: Literal["cut", "fault"] = "cut"

    def parts(self, line: RecordedLine) -> Sequence[Part]:
        """What the frame of a line says, in its order. Raises UnreadableFrame."""
        raise NotImplementedError

    def follows(self, last_id: int, frame: LevelsFrame) -> Following:
        """How a frame follows the one, or the book, that ended with `last_id`: most venues name the id before."""
        if frame.previous_id == last_id:
            return "next"
        return "old" if frame.final_id is not None and frame.final_id <= last_id else "gap"

    def joins(self, _answer_id: int, _frame: LevelsFrame) -> bool:
        """Whether the frame is the first one to apply to a book over REST that stood at `answer_id`."""
        return False

    def is_right(self, _book: TextLevels, _checksum: int) -> bool:
        """Whether the venue's checksum is the one of this book."""
        raise NotImplementedError


def numbers(levels: Sequence[TextPair]) -> list[Level]:
    """Raises msgspec.ValidationError for a price or size that is none."""
    return msgspec.convert(levels, list[Level], strict=False)


def pairs(levels: Sequence[Sequence[str]]) -> list[TextPair]:
    """Of rows that may say more, as text: price and size."""
    return [(row[0], row[1]) for row in levels]


class RangeRules(VenueRules):
    """Ids follow each other without a hole, and the first frame to apply has the answer's id + 1 within its own."""

    def follows(self, last_id: int, frame: LevelsFrame) -> Following:
        first_id, final_id = _ids(frame)
        if final_id <= last_id:
            return "old"
        return "gap" if first_id > last_id + 1 else "next"

    def joins(self, answer_id: int, frame: LevelsFrame) -> bool:
        first_id, final_id = _ids(frame)
        return first_id <= answer_id + 1 <= final_id
