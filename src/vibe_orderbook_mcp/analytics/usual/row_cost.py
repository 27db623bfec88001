"""Cost of an order, estimated from a row: from the touch and the bands, with even depth between two bands."""

from __future__ import annotations

from typing import Final

from vibe_orderbook_mcp.model.events import Side
from vibe_orderbook_mcp.model.rows import BANDS_BPS, SecondRow

NOT_FILLED_BPS: Final = 1e6  # marks a cost if the bands have less than the amount


def cost_bps(row: SecondRow, side: Side, amount_quote: float) -> float | None:
    """Mean distance from mid, in bps, of `amount_quote` taken at once from one side; positive, half a spread at least.

    A complete band costs its mean price. Any amount beyond the widest band is priced at its edge, so the cost is then a
    lower bound. None: no book, or not known far enough.
    """
    is_bid = side == "bid"
    best, size = (row.best_bid, row.best_bid_size) if is_bid else (row.best_ask, row.best_ask_size)
    base, quote = (row.bid_band_base, row.bid_band_quote) if is_bid else (row.ask_band_base, row.ask_band_quote)
    truncated = row.bid_truncated if is_bid else row.ask_truncated
    mid = row.mid
    if mid is None or best is None or size is None or amount_quote <= 0.0:
        return None
    edge = 1e4 * abs(best - mid) / mid
    held_base, held = size, best * size
    taken = min(held, amount_quote)
    cost = taken * edge
    for place, (band_base, band_quote) in enumerate(zip(base, quote, strict=False)):
        if taken >= amount_quote:
            break
        if truncated >> place & 1:
            return None
        if band_quote <= held or band_base <= held_base:
            edge = max(edge, float(BANDS_BPS[place]))  # nothing rests between the two edges
            continue
        middle = 1e4 * abs((band_quote - held) / (band_base - held_base) - mid) / mid
        middle = min(max(middle, edge), float(BANDS_BPS[place]))
        part = min(1.0, (amount_quote - taken) / (band_quote - held))
        cost += part * (band_quote - held) * (edge + part * (middle - edge))
        taken += part * (band_quote - held)
        edge, held_base, held = max(edge, float(BANDS_BPS[place])), band_base, band_quote
    return (cost + max(0.0, amount_quote - taken) * edge) / amount_quote


def dearer_cost_bps(row: SecondRow, bid_quote: float, ask_quote: float) -> float | None:
    """The larger cost of taking these amounts from the two sides. None if either is unknown."""
    bid, ask = cost_bps(row, "bid", bid_quote), cost_bps(row, "ask", ask_quote)
    return None if bid is None or ask is None else max(bid, ask)


def round_trip_bps(row: SecondRow, amount_quote: float) -> float | None:
    """Cost of a round trip: buying and selling that amount at once, in bps of mid.

    None: no book, or not known far enough. NOT_FILLED_BPS if either side has less within the widest band.
    """
    costs = cost_bps(row, "bid", amount_quote), cost_bps(row, "ask", amount_quote)
    if costs[0] is None or costs[1] is None:
        return None
    held = min(row.bid_band_quote[-1:] + row.ask_band_quote[-1:], default=0.0)
    return costs[0] + costs[1] if held >= amount_quote else NOT_FILLED_BPS
