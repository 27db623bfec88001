"""The answers of `orderbook_l1` and `orderbook_l2`, built from one book at one moment."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from operator import attrgetter
from typing import Literal

from pydantic import Field

from vibe_orderbook_mcp.analytics.book.slippage import TakerSide, cost_bps, notional_to_move, walk
from vibe_orderbook_mcp.analytics.book.summary import l1_summary, l2_summary
from vibe_orderbook_mcp.analytics.book.usual import UsualBook, usual_book, usual_text
from vibe_orderbook_mcp.analytics.findings import Finding
from vibe_orderbook_mcp.analytics.microprice import MicropriceTable
from vibe_orderbook_mcp.analytics.numbers import decimals, exact_levels, exact_price, exact_size, plain, significant
from vibe_orderbook_mcp.analytics.results import (
    Answer,
    Envelope,
    about,
    iso,
    left_out_if_false,
    left_out_if_none,
    venue_id,
)
from vibe_orderbook_mcp.analytics.snapshot import (
    BookView,
    DepthCurve,
    band_depth,
    band_imbalance,
    imbalance,
    is_beyond,
    spread_bps,
    spread_ticks,
    weighted_mid,
)
from vibe_orderbook_mcp.analytics.usual.baseline import UsualDay
from vibe_orderbook_mcp.analytics.walls import (
    PERSISTENT_SECS,
    LevelHistory,
    Wall,
    find_walls,
    largest_wall,
    price_groups,
)
from vibe_orderbook_mcp.model.events import SIDES, Side
from vibe_orderbook_mcp.model.moment import Status
from vibe_orderbook_mcp.model.rows import BANDS_BPS
from vibe_orderbook_mcp.model.symbol import SymbolSpec

NOTIONALS = (10_000.0, 25_000.0, 50_000.0)
MOVES_BPS = (10, 25, 50, 100)
WALLS_A_SIDE = 3
QUOTE_DIGITS = 8

_TAKERS: tuple[tuple[TakerSide, Side], ...] = (("buy", "ask"), ("sell", "bid"))


class Imbalance(Answer):
    """(bid size - ask size) / (bid size + ask size), -1 to 1, positive when bids are heavier; null: no orders there."""

    level_1: float | None = Field(description="At the best prices.")
    levels_5: float | None = Field(description="Over the 5 best levels a side.")
    levels_20: float | None = Field(description="Over the 20 best levels a side.")
    within_10_bps: float | None = Field(description="Within 10 bps of mid; comparable between symbols.")
    within_50_bps: float | None = Field(description="Within 50 bps of mid; comparable between symbols.")


class DepthBand(Answer):
    """Resting size on each side within a distance of mid."""

    within_bps: int = Field(description="Distance from mid in basis points, inclusive.")
    bid_base: float = Field(description="Bid size in base units.")
    ask_base: float = Field(description="Ask size in base units.")
    bid_quote: float = Field(description="Bid amount in quote units.")
    ask_quote: float = Field(description="Ask amount in quote units.")
    bid_truncated: bool = left_out_if_false("Present and true: bids are not known that deep, so this is a lower bound.")
    ask_truncated: bool = left_out_if_false("Present and true: asks are not known that deep, so this is a lower bound.")


class WallLevel(Answer):
    """Resting size that stands out from its side: robust log-z >= 2.5 and >= 5 % of the side within 1 % of mid."""

    price: str = Field(description="Price of the group's largest level (levels are grouped by 1 bp or a tick).")
    size_base: float = Field(description="Size of the whole group in base units; without the best level.")
    low: str | None = left_out_if_none("Lowest price of the group; absent, as high and level_size_base: one level.")
    high: str | None = left_out_if_none("Highest price of the group.")
    level_size_base: float | None = left_out_if_none("Size at price alone, base units.")
    notional_quote: float = Field(description="Value of the whole group in quote units, at price.")
    distance_bps: float = Field(description="Distance of price from mid in basis points.")
    z: float = Field(description="Robust z-score of its log size among its side's groups.")
    share: float = Field(description="Share of its side's size within 1 % of mid, 0 to 1.")
    age_s: float | None = left_out_if_none("Age of the level at price in seconds; absent: unknown.")
    persistent: bool = left_out_if_false("Present and true: that level is 10 s old or older.")
    traded_base: float | None = left_out_if_none("Base units traded at price since that level was first seen.")


class SlippageEstimate(Answer):
    """Cost of a market order of a given amount against the present book; without fees, refills or reactions."""

    side: TakerSide = Field(description="buy takes asks, sell takes bids.")
    notional_quote: float = Field(description="Order size in quote units.")
    cost_vs_mid_bps: float | None = Field(description="Average price against mid, in bps; positive is a cost.")
    cost_vs_best_bps: float | None = Field(description="Average price against the best price, in bps.")
    worst_price: str | None = Field(description="Price of the last level used.")
    levels: int = Field(description="Levels used.")
    filled_fraction: float | None = left_out_if_none("Share that fills, 0 to 1; absent: all.")
    insufficient_depth: bool = left_out_if_false(
        "Present and true: the known book cannot fill the order; costs are for the share that fills."
    )


class PriceMove(Answer):
    """Amount that must trade at once to move the best price to a given distance from the present mid."""

    bps: int = Field(description="Distance from mid in basis points, as in depth.")
    buy_quote: float | None = Field(description="Quote units to buy so that the best ask stands there. Null: no mid.")
    sell_quote: float | None = Field(description="Quote units to sell so that the best bid stands there. Null: no mid.")
    buy_lower_bound: bool = left_out_if_false("Present and true: asks are not known that far, so it takes more.")
    sell_lower_bound: bool = left_out_if_false("Present and true: bids are not known that far, so it takes more.")


class L1Answer(Envelope):
    """The touch and the shape of the book around it."""

    best_bid: str | None = Field(description="Highest bid price; exact decimal. Null: no bids.")
    best_bid_size: str | None = Field(description="Size at the best bid in base units; exact decimal.")
    best_ask: str | None = Field(description="Lowest ask price; exact decimal. Null: no asks.")
    best_ask_size: str | None = Field(description="Size at the best ask in base units; exact decimal.")
    spread: str | None = Field(description="best_ask - best_bid in quote units; exact decimal.")
    spread_ticks: int | None = Field(description="The spread in ticks.")
    spread_bps: float | None = Field(description="The spread in basis points of mid.")
    mid: str | None = Field(description="(best_bid + best_ask) / 2; exact decimal. Null: one side empty, or crossed.")
    weighted_mid: float | None = Field(description="Mid weighted by the opposite best sizes, in quote units.")
    microprice: float | None = Field(description="Fair price between bid and ask, in quote units.")
    microprice_model: Literal["stoikov", "weighted_mid"] | None = Field(
        description="stoikov: expected future mid, learned from this symbol's book; weighted_mid: not learned yet."
    )
    last_update_id: int | None = Field(
        description="The exchange's id of the last update in this book. Null: the venue gives none."
    )
    imbalance: Imbalance = Field(description="Bid against ask size at several depths.")
    depth: list[DepthBand] | None = Field(description="Resting size by distance from mid. Null without a mid.")
    bid_walls: list[WallLevel] | None = Field(
        description="Largest first, at most 3. Null: fewer than 20 price groups known."
    )
    ask_walls: list[WallLevel] | None = Field(description="As bid_walls, for asks.")
    slippage: list[SlippageEstimate] = Field(description="Cost of taking 10k, 25k and 50k quote units now.")
    price_move: list[PriceMove] = Field(
        description="Amounts that would move the best price 10 to 100 bps away from mid."
    )
    bid_horizon_bps: float | None = left_out_if_none(
        "Distance from mid (without one: from the best bid) up to which every bid is known; absent: all bids are."
    )
    ask_horizon_bps: float | None = left_out_if_none(
        "Distance from mid (without one: from the best ask) up to which every ask is known; absent: all asks are."
    )
    usual: UsualBook | None = Field(
        description="This book against the symbol's own last day. Null: under 15 minutes of history, or no mid."
    )


class L2Answer(Envelope):
    """The best levels of both sides, exactly as the exchange sends them."""

    last_update_id: int | None = Field(
        description="The exchange's id of the last update in this book. Null: the venue gives none."
    )
    bids: list[tuple[str, str]] = Field(description="[price, size] pairs, best (highest) first; exact decimals.")
    asks: list[tuple[str, str]] = Field(description="[price, size] pairs, best (lowest) first; exact decimals.")
    tick_size: str = Field(description="Smallest price step, in quote units.")
    step_size: str = Field(description="Smallest size step, in base units.")
    bid_horizon: str | None = left_out_if_none("Lowest price down to which every bid is known; absent: all bids are.")
    ask_horizon: str | None = left_out_if_none("Highest price up to which every ask is known; absent: all asks are.")


def l1_answer(
    spec: SymbolSpec,
    book: BookView,
    *,
    last_update_id: int,
    as_of_ms: int,
    age_ms: int,
    status: Status,
    microprice: MicropriceTable | None = None,
    level_history: LevelHistory | None = None,
    day: UsualDay | None = None,
    findings: Sequence[Finding] = (),
    warnings: Sequence[str] = (),
) -> L1Answer:
    """The answer of `orderbook_l1`. `book` holds every known level, so that bands and walls are whole.

    `day` has the usual values of the symbol's last day; `findings` are the open ones.
    """
    bid, ask, tick = book.best_bid, book.best_ask, float(spec.tick_size)
    bid_size = book.bids[0][1] if book.bids else 0.0
    ask_size = book.asks[0][1] if book.asks else 0.0
    weighted = weighted_mid(bid, bid_size, ask, ask_size)
    fair, model = weighted, None
    if weighted is not None and bid is not None and ask is not None:
        learned = microprice.price(bid, bid_size, ask, ask_size, tick) if microprice else None
        fair, model = (weighted, "weighted_mid") if learned is None else (learned, "stoikov")
    spread = None if bid is None or ask is None else _decimal(spec, ask) - _decimal(spec, bid)
    places = spec.tick_exp + 3  # finer than a tick: its place inside the spread must show
    curves = {side: book.curve(side) for side in SIDES}
    bids, asks = curves["bid"], curves["ask"]
    found = {side: _found_walls(curves[side], book.mid, tick) for side in SIDES}
    walls = {side: _walls(spec, side, found[side], book.mid, as_of_ms, level_history) for side in SIDES}
    slippage = [
        _slippage(spec, curves[resting], taker, notional, book.mid)
        for taker, resting in _TAKERS
        for notional in NOTIONALS
    ]
    usual = None if day is None else usual_book(day, bids, asks, book.mid, tick)
    compared = "" if usual is None or day is None else usual_text(usual, is_ready=day.is_ready)
    return L1Answer(
        **about(spec),
        as_of=iso(as_of_ms),
        age_ms=age_ms,
        status=status,
        summary=l1_summary(spec, book, bids, asks, largest_wall(found), _costs(slippage), compared, findings),
        warnings=[*warnings, *_book_warnings(book)],
        best_bid=None if bid is None else exact_price(spec, bid),
        best_bid_size=None if bid is None else exact_size(spec, bid_size),
        best_ask=None if ask is None else exact_price(spec, ask),
        best_ask_size=None if ask is None else exact_size(spec, ask_size),
        spread=None if spread is None else plain(spread),
        spread_ticks=spread_ticks(bid, ask, tick),
        spread_bps=significant(spread_bps(bid, ask)),
        mid=_exact_mid(spec, book),
        weighted_mid=decimals(weighted, places),
        microprice=decimals(fair, places),
        microprice_model=model,
        last_update_id=venue_id(spec, last_update_id),
        imbalance=_imbalances(bids, asks, book.mid),
        depth=_depth(spec, bids, asks, book.mid),
        bid_walls=walls["bid"],
        ask_walls=walls["ask"],
        slippage=slippage,
        price_move=[_price_move(bids, asks, book.mid, bps) for bps in MOVES_BPS],
        bid_horizon_bps=_horizon_bps(book, "bid"),
        ask_horizon_bps=_horizon_bps(book, "ask"),
        usual=usual,
    )


def l2_answer(
    spec: SymbolSpec,
    book: BookView,
    *,
    levels: int,
    last_update_id: int,
    as_of_ms: int,
    age_ms: int,
    status: Status,
    warnings: Sequence[str] = (),
) -> L2Answer:
    """The answer of `orderbook_l2`: the best `levels` of each side."""
    bids, asks = book.bids[:levels], book.asks[:levels]
    beyond = [
        f"The last {name} shown lie beyond the known book: levels between them may be missing."
        for name, shown, side in (("bids", bids, SIDES[0]), ("asks", asks, SIDES[1]))
        if (horizon := book.horizon(side)) is not None and shown and is_beyond(shown[-1][0], side, horizon)
    ]
    return L2Answer(
        **about(spec),
        as_of=iso(as_of_ms),
        age_ms=age_ms,
        status=status,
        summary=l2_summary(spec, book, bids, asks),
        warnings=[*warnings, *_book_warnings(book), *beyond],
        last_update_id=venue_id(spec, last_update_id),
        bids=exact_levels(spec, bids),
        asks=exact_levels(spec, asks),
        tick_size=plain(spec.tick_size),
        step_size=plain(spec.step_size),
        bid_horizon=None if book.bid_horizon is None else exact_price(spec, book.bid_horizon),
        ask_horizon=None if book.ask_horizon is None else exact_price(spec, book.ask_horizon),
    )


def _imbalances(bids: DepthCurve, asks: DepthCurve, mid: float | None) -> Imbalance:
    return Imbalance(
        level_1=decimals(imbalance(bids, asks, 1)),
        levels_5=decimals(imbalance(bids, asks, 5)),
        levels_20=decimals(imbalance(bids, asks, 20)),
        within_10_bps=decimals(band_imbalance(bids, asks, mid, 10)),
        within_50_bps=decimals(band_imbalance(bids, asks, mid, 50)),
    )


def _decimal(spec: SymbolSpec, price: float) -> Decimal:
    return Decimal(exact_price(spec, price))


def _exact_mid(spec: SymbolSpec, book: BookView) -> str | None:
    bid, ask = book.best_bid, book.best_ask
    if bid is None or ask is None or book.is_crossed:
        return None
    return plain((_decimal(spec, bid) + _decimal(spec, ask)) / 2)


def _depth(spec: SymbolSpec, bids: DepthCurve, asks: DepthCurve, middle: float | None) -> list[DepthBand] | None:
    if middle is None:
        return None
    bands = [(bps, band_depth(bids, middle, bps), band_depth(asks, middle, bps)) for bps in BANDS_BPS]
    return [
        DepthBand(
            within_bps=bps,
            bid_base=decimals(bid.base, spec.lot_exp),
            ask_base=decimals(ask.base, spec.lot_exp),
            bid_quote=significant(bid.quote, QUOTE_DIGITS),
            ask_quote=significant(ask.quote, QUOTE_DIGITS),
            bid_truncated=bid.truncated,
            ask_truncated=ask.truncated,
        )
        for bps, bid, ask in bands
    ]


def _found_walls(curve: DepthCurve, middle: float | None, tick: float) -> list[Wall] | None:
    return None if middle is None else find_walls(price_groups(curve, middle, tick))


def _walls(
    spec: SymbolSpec,
    side: Side,
    walls: Sequence[Wall] | None,
    middle: float | None,
    as_of_ms: int,
    history: LevelHistory | None,
) -> list[WallLevel] | None:
    if walls is None or middle is None:
        return None
    shown = []
    for wall in sorted(walls, key=attrgetter("amount"), reverse=True)[:WALLS_A_SIDE]:
        first_seen_ms, traded = history(side, wall.price) if history else (None, 0.0)
        age_s = None if first_seen_ms is None else max(0, as_of_ms - first_seen_ms) / 1000
        is_one = wall.low == wall.high
        shown.append(
            WallLevel(
                price=exact_price(spec, wall.price),
                size_base=decimals(wall.size, spec.lot_exp),
                low=None if is_one else exact_price(spec, wall.low),
                high=None if is_one else exact_price(spec, wall.high),
                level_size_base=None if is_one else decimals(wall.level_size, spec.lot_exp),
                notional_quote=significant(wall.amount),
                distance_bps=significant(1e4 * abs(wall.price - middle) / middle, 4),
                z=decimals(wall.z, 2),
                share=decimals(wall.share, 3),
                age_s=None if age_s is None else decimals(age_s, 1),
                persistent=age_s is not None and age_s >= PERSISTENT_SECS,
                traded_base=None if first_seen_ms is None else decimals(traded, spec.lot_exp),
            )
        )
    return shown


def _slippage(
    spec: SymbolSpec, curve: DepthCurve, side: TakerSide, notional: float, middle: float | None
) -> SlippageEstimate:
    fill = walk(curve, notional)
    best = curve.best
    return SlippageEstimate(
        side=side,
        notional_quote=notional,
        cost_vs_mid_bps=significant(cost_bps(side, fill.vwap, middle), 4),
        cost_vs_best_bps=significant(cost_bps(side, fill.vwap, best), 4),
        worst_price=None if fill.worst_price is None else exact_price(spec, fill.worst_price),
        levels=fill.levels,
        filled_fraction=decimals(fill.filled_fraction) if fill.insufficient_depth else None,
        insufficient_depth=fill.insufficient_depth,
    )


def _costs(slippage: Sequence[SlippageEstimate]) -> list[tuple[float, float | None, float | None]]:
    """Amount, cost of buying it, cost of selling it; None if the known book does not fill it."""
    whole = {(each.side, each.notional_quote): each.cost_vs_mid_bps for each in slippage if not each.insufficient_depth}
    return [(amount, whole.get(("buy", amount)), whole.get(("sell", amount))) for amount in NOTIONALS]


def _price_move(bids: DepthCurve, asks: DepthCurve, mid: float | None, bps: int) -> PriceMove:
    buy = sell = None
    if mid is not None:
        buy, sell = notional_to_move(asks, mid, bps), notional_to_move(bids, mid, bps)
    return PriceMove(
        bps=bps,
        buy_quote=None if buy is None else significant(buy.notional, QUOTE_DIGITS),
        sell_quote=None if sell is None else significant(sell.notional, QUOTE_DIGITS),
        buy_lower_bound=buy is not None and buy.lower_bound,
        sell_lower_bound=sell is not None and sell.lower_bound,
    )


def _horizon_bps(book: BookView, side: Side) -> float | None:
    horizon = book.horizon(side)
    reference = book.mid or (book.best_bid if side == "bid" else book.best_ask)
    if horizon is None or reference is None:
        return None
    outwards = reference - horizon if side == "bid" else horizon - reference
    return significant(max(0.0, 1e4 * outwards / reference), 4)


def _book_warnings(book: BookView) -> list[str]:
    out = []
    if not book.bids or not book.asks:
        empty = " and ".join(name for name, side in (("bids", book.bids), ("asks", book.asks)) if not side)
        out.append(f"No {empty} in the book: figures that need both sides are null.")
    if book.is_crossed:
        out.append("Best bid above best ask: this book is not valid; figures that need a mid are null.")
    if book.is_locked:
        out.append("Best bid equals best ask (locked): the spread is 0.")
    return out
