"""Hyperliquid: every frame of `l2Book` is a whole book of up to 20 levels a side. PURE.

Nothing proves that no frame is missing. Their times never go back. Trades have no ids that follow each other; what
tells them apart is the time and `tid`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from vibe_orderbook_mcp.frames.lines import RecordedLine
from vibe_orderbook_mcp.model.events import Millis
from vibe_orderbook_mcp.model.instrument import Proof
from vibe_orderbook_mcp.verify.parts import (
    LevelsFrame,
    Part,
    TouchPrices,
    TradeName,
    UnreadableFrame,
    VenueRules,
    Whole,
)


class _HyperliquidLevel(msgspec.Struct):
    px: str
    sz: str


class _HyperliquidBook(msgspec.Struct):
    coin: str
    time: Millis
    levels: tuple[list[_HyperliquidLevel], list[_HyperliquidLevel]]


class _HyperliquidBest(msgspec.Struct):
    coin: str
    time: Millis
    bbo: tuple[_HyperliquidLevel | None, _HyperliquidLevel | None]


class _HyperliquidTrade(msgspec.Struct):
    coin: str
    time: Millis
    tid: int


class _HyperliquidOuter(msgspec.Struct):
    channel: str = ""
    data: msgspec.Raw = msgspec.Raw()


_OUTER: Final = msgspec.json.Decoder(_HyperliquidOuter)
_BOOK: Final = msgspec.json.Decoder(_HyperliquidBook)
_BEST: Final = msgspec.json.Decoder(_HyperliquidBest)
_TRADES: Final = msgspec.json.Decoder(list[_HyperliquidTrade])


class HyperliquidRules(VenueRules):
    venue = "hyperliquid"
    proof = Proof(book="snapshots_only", trades="unproven", refill=False)

    def parts(self, line: RecordedLine) -> Sequence[Part]:
        try:
            outer = _OUTER.decode(line.frame)
            if outer.channel == "l2Book":
                return [_book(_BOOK.decode(outer.data))]
            if outer.channel == "bbo":
                best = _BEST.decode(outer.data)
                bid, ask = ("0" if level is None else level.px for level in best.bbo)
                return [TouchPrices(best.coin, bid, ask, best.time)]
            if outer.channel == "trades":
                return [TradeName(each.coin, f"{each.time}:{each.tid}") for each in _TRADES.decode(outer.data)]
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise UnreadableFrame(str(error)) from error
        return ()


def _book(book: _HyperliquidBook) -> LevelsFrame:
    bids, asks = ([(level.px, level.sz) for level in levels] for levels in book.levels)
    return LevelsFrame(
        *(book.coin, "l2Book", bids, asks, "snapshots_only", Whole()),
        first_id=book.time,
        final_id=book.time,
        at=book.time,
    )
