"""What answers are made from. A source has the books and the history; where they are is its own affair.

Whatever it hands out is a value: nothing of it changes when the next event comes. What it reads for a question it keeps
in memory of its own. Times are the exchange's; symbols are in its spelling, as `want` returned them.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Literal, Protocol

from vibe_orderbook_mcp.analytics.anomalies.watched import NormalNow, Usual, Watched
from vibe_orderbook_mcp.analytics.findings import Finding
from vibe_orderbook_mcp.analytics.flow.past import Earlier
from vibe_orderbook_mcp.analytics.flow.toxicity import VolumeVpin
from vibe_orderbook_mcp.analytics.profile.coverage import TradedWindow
from vibe_orderbook_mcp.analytics.resting import RestingDepth
from vibe_orderbook_mcp.analytics.views import BookFrame
from vibe_orderbook_mcp.analytics.windows import Span
from vibe_orderbook_mcp.model.condition import ServerCondition
from vibe_orderbook_mcp.model.listed import PriceSource
from vibe_orderbook_mcp.model.moment import Moment
from vibe_orderbook_mcp.model.rows import SecondRow

# "seen": the last five minutes as they were seen. "hour": what `past_row` keeps of the hour before the window. "whole":
# that, and the window.
Part = Literal["seen", "hour", "whole"]


class Present(Protocol):
    """What is so now. Two calls without an await in between are of the same moment.

    All but `want` and `condition` raise Refusal for a symbol that is not kept.
    """

    @property
    def origin(self) -> PriceSource | None:
        """Whose prices these are; None while nobody knows."""

    async def want(self, symbol: str, *, live: bool = False) -> Moment:
        """Somebody asks about the symbol: it is kept from now on. `live`: with a book in proven sequence.

        Its name may be another one, that of the pair of a bare asset. Raises Refusal where it cannot be had in time.
        """

    def moment(self, symbol: str) -> Moment: ...

    def book(self, symbol: str, levels: int | None = None, *, notional: float = 0.0) -> BookFrame | None:
        """The best `levels` a side; without a number what lies near the best prices, or as far as an order of
        `notional` quote units reaches. None without a book in proven sequence.
        """

    def resting(self, symbol: str) -> Sequence[RestingDepth]:
        """What rested by price during the last minute, bids first; of a side that was not seen nothing."""

    def usual(self, symbol: str) -> Usual: ...

    def normal(self, symbol: str) -> NormalNow: ...

    def watched(self, symbol: str, span: Span, since: int) -> Watched:
        """What the detectors say of the part of the window that they have seen; how much they watched from `since`."""

    def condition(self) -> ServerCondition: ...


class Recorded(Protocol):
    """What was so. Raises Refusal while there is no history to read, StorageError when reading fails."""

    async def rows(self, symbol: str, span: Span, part: Part) -> list[SecondRow]:
        """Ascending. Trades that were fetched after a second of the window was over are in its row.

        "seen" and "hour" do not raise: where history cannot be read it is what is in memory.
        """

    async def windows(self, symbol: str, secs: int, before: int) -> Earlier:
        """The windows of `secs` of the day before `before`, oldest first; they end on whole multiples of `secs`."""

    async def sums(self, symbol: str, span: Span) -> TradedWindow:
        """The trades of the window by price, those included that are not stored yet."""

    async def vpin(self, symbol: str, end: int) -> VolumeVpin | None:
        """Of the trades up to `end`; None while the day before is being read."""

    async def today(self, symbol: str, end: int) -> tuple[float, float] | None:
        """Aggressive (buy, sell) volume since 00:00 UTC, base units; None unless the ids prove that it is all."""

    async def findings(self, symbol: str, start_ms: int, end_ms: int) -> list[Finding]:
        """Those that began in the window and are stored, ascending by start."""

    def revision(self, symbol: str) -> Hashable:
        """Another one whenever something of the above, or of the seconds that are over, may be another."""


class Source(Present, Recorded, Protocol):
    """The books and the history of one process."""
