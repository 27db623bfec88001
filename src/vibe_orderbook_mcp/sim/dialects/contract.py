"""What a dialect knows of a market, and what it is asked for. PURE.

A dialect turns events of a market into a venue's messages. Prices are whole ticks and sizes whole lots; a `Step` words
them. Times are ms of the venue's clock.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple, Protocol

import msgspec

BID: Final = 0
ASK: Final = 1

Units = Sequence[tuple[int, int]]  # (price, size)
Sides = tuple[dict[int, int], dict[int, int]]  # price -> size
StreamKind = Literal["depth", "trades", "ticker"]


class Step(msgspec.Struct, frozen=True):
    """Whole steps of `times` * 10^-exp, in decimal text."""

    exp: int
    times: int = 1

    def text(self, units: int) -> str:
        """With all its places: "0.50"."""
        units *= self.times
        if not self.exp:
            return str(units)
        whole, part = divmod(units, 10**self.exp)
        return f"{whole}.{part:0{self.exp}d}"

    def short(self, units: int) -> str:
        """As short as can be: "0.5", "1"."""
        text = self.text(units)
        return text.rstrip("0").rstrip(".") if self.exp else text

    def number(self, units: int) -> float:
        return units * self.times / 10.0**self.exp

    def units(self, value: float) -> int:
        """The nearest whole number of steps."""
        return round(value * 10.0**self.exp / self.times)


class Product(msgspec.Struct, frozen=True, kw_only=True):
    """Something that a venue lists."""

    venue: str
    symbol: str  # the venue's own spelling
    asset: str
    quote: str
    price: Step
    size: Step
    market: Literal["spot", "perpetual"] = "spot"
    base_a_size: float | None = 1.0  # how much of the asset a size of 1 is; None: sizes are worth `quote_a_size`
    quote_a_size: float = 1.0
    names: Mapping[str, str] = {}  # how else the venue calls it, by where
    liveliness: float = 0.3  # relative to the lead market of BTC
    levels: int = 1500  # a side, of the far book
    lead_bps: float = 0.0  # how far its price usually is from the lead's

    @property
    def name(self) -> str:
        return f"{self.venue}:{self.symbol}"

    def lots_worth(self, amount: float, price: float) -> int:
        """Lots that are worth an amount of the quote asset; at least one."""
        size = amount / self.quote_a_size if self.base_a_size is None else amount / price / self.base_a_size
        return max(1, self.size.units(size))


class BookChange(NamedTuple):
    """Some levels have other sizes now; 0: the level is gone. Ids and numbers count on from the change before."""

    time_ms: int
    number: int  # of changes of this book
    first_id: int
    final_id: int
    bids: Units
    asks: Units


class MarketFill(NamedTuple):
    """What a taker's order took at one price."""

    id: int  # consecutive
    time_ms: int
    rank: int  # among those of the same ms
    price: int
    lots: int
    taker_sells: bool


class MarketFills(NamedTuple):
    """Of one taker's order."""

    time_ms: int
    fills: Sequence[MarketFill]


MarketEvent = BookChange | MarketFills


class Derivatives(NamedTuple):
    """What a perpetual has beside its book. Prices in quote units, rates as fractions, open interest in sizes."""

    mark_price: float
    index_price: float
    funding_rate: float
    next_funding_ms: int
    open_interest: float


class MarketView(Protocol):
    """A market after its newest change."""

    product: Product
    sides: Sides
    change: BookChange  # the newest one

    @property
    def time_ms(self) -> int:
        """Played up to here."""

    def fills_from(self, fill_id: int, limit: int) -> list[MarketFill]:
        """Ascending, from this id on or from the oldest one known."""

    def newest_fills(self, limit: int) -> list[MarketFill]:
        """Ascending."""

    def first_fill_at(self, time_ms: int) -> int:
        """The id of the first one at or after this time."""

    def derivatives(self) -> Derivatives: ...

    def unpublished(self) -> tuple[int, Sides]:
        """The newest update's id and the book after it: changes to come may have a part of it."""

    def id_of_change(self, number: int) -> int:
        """The final id of a change of the last minute; 0 where that is not known."""

    def opening_price(self) -> int:
        """A day ago, or as far back as trades are known."""


class StreamKey(NamedTuple):
    """One stream of one market: the same frames for everyone who listens to it."""

    kind: StreamKind
    symbol: str
    option: str = ""


class Stream(Protocol):
    def opening(self) -> list[bytes]:
        """What a new listener gets first."""

    def told(self, event: MarketEvent) -> list[bytes]:
        """Frames that go out because of an event."""

    def tick(self, now_ms: int) -> list[bytes]:
        """Frames that are due by now."""


class Listen(NamedTuple):
    """The connection listens to a stream from here on."""

    key: StreamKey


class Leave(NamedTuple):
    key: StreamKey


class Bye(NamedTuple):
    """The venue closes the connection."""

    code: int
    reason: str


Answer = bytes | Listen | Leave | Bye


class Conversation(Protocol):
    """What the venue says on one connection beside its streams."""

    def greeting(self) -> Sequence[Answer]:
        """What follows from the connection being open."""

    def hear(self, text: str, now_ms: int) -> Sequence[Answer]:
        """What follows from a client's message, in order."""

    def wrap(self, key: StreamKey, payload: bytes, now_ms: int) -> bytes:
        """A stream's frame as this connection gets it. Called once for each, also for those that a fault drops."""

    def tick(self, now_ms: int) -> Sequence[Answer]:
        """What is due by now."""


class ListedProduct(NamedTuple):
    """`status` is None for what trades."""

    product: Product
    status: str | None


class Question(NamedTuple):
    """A REST request. `listed` is what the venue lists now, `market` makes a market if there is none yet."""

    query: Mapping[str, str]
    body: bytes
    now_ms: int
    listed: Sequence[ListedProduct]
    market: Callable[[str], MarketView]


class NotServed(Exception):
    """The request is refused with this answer."""

    def __init__(self, body: Any, status: int = 400) -> None:
        super().__init__(str(body))
        self.body = body
        self.status = status


Endpoint = Callable[[Question], Any]


class Dialect(Protocol):
    venue: str
    products: Sequence[Product]
    event_ms: int  # how often books change at most
    messages_a_second: int  # that a client may send
    requests: tuple[int, float]  # REST: how many at once, and how many a second in the long run
    endpoints: Mapping[str, Endpoint]  # by path; a part in braces stands for any text, which is then in the query

    def conversation(self, path: str, query: str, now_ms: int) -> Conversation | None:
        """For a new connection; None: nobody serves that path."""

    def stream(self, key: StreamKey, market: MarketView) -> Stream: ...

    def asked(self, query: Mapping[str, str], body: bytes) -> str:
        """The symbol that a REST request is about; empty for none."""

    def update_of(self, wire_id: int, market: MarketView) -> int:
        """The final id of the change that ends with this id of the venue's frames."""

    def refusal(self, status: int) -> tuple[int, Any]:
        """Status and body of an answer where the venue cannot serve, or will not: 429 for too many requests."""
