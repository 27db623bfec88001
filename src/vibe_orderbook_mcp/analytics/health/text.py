"""A health score in words: the weakest part with its raw figure, and the cost of trading."""

from __future__ import annotations

from math import inf
from typing import Final

from vibe_orderbook_mcp.analytics.health.score import HARD, Component, HealthLevel, market_class, usd_rate_of
from vibe_orderbook_mcp.analytics.health.seconds import NOW_SECS, Health, middle_by_depth, middle_by_spread
from vibe_orderbook_mcp.analytics.numbers import readable
from vibe_orderbook_mcp.analytics.usual.normal import FULL_SECS, MINUTE, Normal
from vibe_orderbook_mcp.analytics.window_notes import clock
from vibe_orderbook_mcp.model.rows import BANDS_BPS
from vibe_orderbook_mcp.model.symbol import SymbolSpec

PHRASES: Final[dict[Component, str]] = {
    "spread_stability": "spread",
    "liquidity_depth": "depth",
    "price_stability": "price stability",
    "flow_balance": "flow balance",
    "update_rate": "update rate",
}
SOUND: Final = 90.0  # depth 0.8 x its usual, spread 1.26 x: below that a part is not as usual
# A market without updates may have changed completely: Poor at best.
SILENT_MOST: Final = 39.0
# If the window's mean is this many points below now, the summary says so and does not call the market usual.
REMEMBERED, SPOILT = 1.0, 5.0
SIDES: Final = {"bid": "bids", "ask": "asks"}


def health_summary(
    spec: SymbolSpec,
    found: Health,
    normal: Normal,
    score: float | None,
    level: HealthLevel,
    weakest: Component | None,
    *,
    secs: int,
    silent_secs: float | None,
) -> str:
    """One sentence. `silent_secs`: how long there was no update, if the market is stale for that reason."""
    if score is None or weakest is None:
        return f"{spec.symbol}: health unknown, too little could be measured."
    if silent_secs is not None:
        return f"{spec.symbol}: {silent_text(score, level, normal, silent_secs)}."
    at = found.parts()[weakest].score
    raw = weakest_figure(spec, found, weakest, secs)
    lowest = f"{PHRASES[weakest]} at {points(at)}{_now_and_window(found, weakest, secs)}{raw}"
    if not normal.is_warm:
        return (
            f"{spec.symbol} health {points(score)}/100 on {_scale(normal)}; {no_verdict(normal)}: the lowest part is"
            f" {lowest}."
        )
    head = f"{spec.symbol} health {points(score)}/100 ({level})"
    lows = min(part.score for part in found.parts().values())
    is_sound = lows >= SOUND and not _remembers(found, weakest, SPOILT)
    said = f"every part is as usual, the weakest is {lowest}" if is_sound else f"weakest is {lowest}"
    return f"{head}: {said}{_dear(spec, normal)}."


def silent_text(score: float, level: HealthLevel, normal: Normal, silent_secs: float) -> str:
    """The sentence for a market without updates: the silence matters, not the number."""
    verdict = f" ({level})" if normal.is_warm else ""
    young = "" if normal.is_warm else f"; {no_verdict(normal)}"
    is_capped = score >= SILENT_MOST
    said = "for that reason health is capped at" if is_capped else "health is"
    return (
        f"no update for {silent_secs:.0f} s, {said} {points(score)}/100{verdict}; the figures are from"
        f" before the silence{young}"
    )


def no_verdict(normal: Normal) -> str:
    minutes = max(1, round((FULL_SECS - normal.seconds) / MINUTE))
    return f"no verdict yet (about {minutes} min of its own history to go)"


def _scale(normal: Normal) -> str:
    """The scale of a score before the symbol has its own baseline: then the scale itself still changes."""
    if normal.spread_weight <= 0.0:
        return "a general scale, not against this symbol's usual"
    own = 100 * normal.spread_weight
    return f"a general scale mixed with this symbol's first minutes ({own:.0f} %), not against its usual"


def points(score: float) -> str:
    """Rounded as in the fields, so that a score and its level never seem to contradict each other."""
    return f"{round(score, 1):g}"


def _flow(found: Health, spec: SymbolSpec, within: str | None) -> str:
    bought, sold = found.buy_quote, found.sell_quote
    side, part = ("buys", bought) if bought >= sold else ("sells", sold)
    return f": {100 * part / (bought + sold):.0f} % {side}" if bought + sold > 0.0 else ""


def _updates(found: Health, spec: SymbolSpec, within: str | None) -> str:
    return "" if found.updates_times is None else f": {readable(found.updates_times, 2)}x the usual pace"


def _price(found: Health, spec: SymbolSpec, within: str | None) -> str:
    z, most = found.latest_of("price_z"), found.most_of("price_z")
    moved = "" if z is None else f": mid moved {readable(z, 2)}x as far as usual"
    return moved if within is None or most is None else f"{moved}, up to {readable(most, 2)}x {within}"


def _spread(found: Health, spec: SymbolSpec, within: str | None) -> str:
    middle, most = middle_by_spread(found.latest or found.seconds), found.most_of("spread_times")
    if middle is None or middle.spread_bps is None:
        return _lack(found, None if middle is None else middle.lack)
    bps, times = middle.spread_bps, middle.spread_times
    usual = "" if times is None else f", {readable(times, 2)}x its usual"
    if times is not None and bps < found.spread_floor_bps:
        usual = f", as usual (below {readable(found.spread_floor_bps, 2)} bps all spreads count alike)"
    before = "" if within is None or most is None else f", up to {readable(most, 2)}x {within}"
    return f": {readable(bps)} bps, {_when(found)}{usual}{before}"


def _depth(found: Health, spec: SymbolSpec, within: str | None) -> str:
    middle, least = middle_by_depth(found.latest or found.seconds), found.least_of("depth_share")
    if middle is None or middle.depth_quote is None or middle.thinner_side is None:
        return _lack(found, None if middle is None else middle.lack)
    amount, share = middle.depth_quote, middle.depth_share
    usual = "" if share is None else f", {readable(share, 2)}x its usual"
    before = "" if within is None or least is None else f", down to {readable(least, 2)}x {within}"
    where = f"{spec.quote_asset} within {found.band_bps} bps"
    return f": {SIDES[middle.thinner_side]} {readable(amount)} {where}, {_when(found)}{usual}{before}"


def _lack(found: Health, lack: str | None) -> str:
    """For a book without depth or spread on the exchange itself in most of those seconds."""
    return "" if lack is None else f": the exchange's book was {lack}, {_when(found)}"


def _when(found: Health) -> str:
    """The seconds behind a median: the last three, or the whole window if none of those has data."""
    if not found.latest:
        return f"median of the {len(found.seconds)} s known before {clock(found.end)}"
    seen = f"{len(found.latest)} of the {NOW_SECS}" if len(found.latest) < NOW_SECS else f"the {NOW_SECS}"
    return f"median of {seen} s to {clock(found.end)}"


FIGURES: Final = {
    "spread_stability": _spread,
    "liquidity_depth": _depth,
    "price_stability": _price,
    "flow_balance": _flow,
    "update_rate": _updates,
}


def weakest_figure(spec: SymbolSpec, found: Health, name: Component, secs: int) -> str:
    """The raw figure behind a component, after a colon."""
    remembers = _remembers(found, name, REMEMBERED)
    return FIGURES[name](found, spec, f"within the {secs} s" if remembers else None)


def _remembers(found: Health, name: Component, points: float) -> bool:
    """Whether the window's mean is that many points below now."""
    now, window = found.scores[name]
    return now is not None and window is not None and window < now - points


def _now_and_window(found: Health, name: Component, secs: int) -> str:
    scored = found.scores[name]
    if name not in HARD or scored.now is None or scored.window is None:
        return ""
    return f" ({points(scored.now)} now, {points(scored.window)} over {secs} s)"


def _dear(spec: SymbolSpec, normal: Normal) -> str:
    cost = normal.round_trip_bps
    if cost is None or usd_rate_of(spec.quote_asset) is None:
        return ""
    name = market_class(cost)
    if cost == inf:
        return f"; class {name}: 10,000 USD usually do not fill within {BANDS_BPS[-1]} bps"
    return f"; class {name}: a 10,000 USD round trip usually costs {readable(cost, 2)} bps"
