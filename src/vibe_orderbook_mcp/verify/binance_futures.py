"""Binance USD-M and COIN-M futures, whose frames are those of spot with the id of the frame before. PURE.

The rule is that of Binance's "How to manage a local order book correctly" for futures: each frame's `pu` is the `u` of
the one before. The first one to apply has the depth answer's id within [U; u], or as its `pu`, which live streams also
send.
"""

from __future__ import annotations

from vibe_orderbook_mcp.verify.binance_spot import BinanceSpotRules
from vibe_orderbook_mcp.verify.parts import Following, LevelsFrame, VenueRules


class BinanceFuturesRules(BinanceSpotRules):
    def __init__(self, venue: str = "binance-usdm") -> None:
        super().__init__(venue)

    def follows(self, last_id: int, frame: LevelsFrame) -> Following:
        if frame.previous_id is None:
            return super().follows(last_id, frame)
        return VenueRules.follows(self, last_id, frame)

    def joins(self, answer_id: int, frame: LevelsFrame) -> bool:
        is_within = (frame.first_id or 0) <= answer_id <= (frame.final_id or 0)
        return is_within or frame.previous_id == answer_id
