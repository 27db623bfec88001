"""The source of answers: books and history, at any place.

It returns values: the next event does not change them. It caches its reads itself. Times are the exchange's; symbols
are in its spelling, as `want` returned them.
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

# "seen": the last five minutes, as recorded live. "hour": the fields of `past_row` for the hour before the window.
# "whole": that, and the window.
Part = Literal["seen", "hour", "whole"]


class Present(Protocol):
    """The present. Two calls without an await in between see the same moment.

    All methods except `want` and `condition` raise Refusal for a symbol that is not subscribed.
    """

    @property
    def origin(self) -> PriceSource | None:
        """The origin of the prices; None while unknown."""

    async def want(self, symbol: str, *, live: bool = False) -> Moment:
        """A question about the symbol: subscribe it if needed. `live`: wait for a book in proven sequence.

        Returns its moment, whose symbol is the pair for a bare asset. Raises Refusal if it is not ready in time.
        """

    def moment(self, symbol: str) -> Moment: ...

    def book(self, symbol: str, levels: int | None = None, *, notional: float = 0.0) -> BookFrame | None:
        """The best `levels` a side; without a number the levels near the best prices, or as far as an order of
        `notional` quote units reaches. None without a book in proven sequence.
        """

    def resting(self, symbol: str) -> Sequence[RestingDepth]:
        """Resting depth by price over the last minute, bids first; empty for a side without samples."""

    def usual(self, symbol: str) -> Usual: ...

    def normal(self, symbol: str) -> NormalNow: ...

    def watched(self, symbol: str, span: Span, since: int) -> Watched:
        """The detectors' state for the window, and how much they have recorded since `since`."""

    def condition(self) -> ServerCondition: ...


class Recorded(Protocol):
    """The past. Raises Refusal without readable history, StorageError if reading fails."""

    async def rows(self, symbol: str, span: Span, part: Part) -> list[SecondRow]:
        """Ascending rows. Trades that were fetched after the end of a second are in its row.

        "seen" and "hour" do not raise: if history cannot be read, they return the rows in memory.
        """

    async def windows(self, symbol: str, secs: int, before: int) -> Earlier:
        """The windows of `secs` of the day before `before`, oldest first; they end on whole multiples of `secs`."""

    async def sums(self, symbol: str, span: Span) -> TradedWindow:
        """The trades of the window by price, including those that are not stored yet."""

    async def vpin(self, symbol: str, end: int) -> VolumeVpin | None:
        """VPIN of the trades up to `end`; None while the day before is being read."""

    async def today(self, symbol: str, end: int) -> tuple[float, float] | None:
        """Aggressive (buy, sell) volume since 00:00 UTC, base units; None unless the ids prove that it is complete."""

    async def findings(self, symbol: str, start_ms: int, end_ms: int) -> list[Finding]:
        """Stored findings that began in the window, ascending by start."""

    def revision(self, symbol: str) -> Hashable:
        """A value that changes whenever a result of the methods above, or a finished second, may have changed."""


class Source(Present, Recorded, Protocol):
    """The books and the history of one process."""
