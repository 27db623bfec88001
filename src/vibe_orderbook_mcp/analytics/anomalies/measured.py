"""Values that the detectors measured in a window, and how unusual each is, with or without a verdict."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pydantic import Field

from vibe_orderbook_mcp.analytics.anomalies.watched import Watched
from vibe_orderbook_mcp.analytics.flow.absorption_answer import AbsorptionEvent, absorbed_levels
from vibe_orderbook_mcp.analytics.flow.toxicity import Vpin
from vibe_orderbook_mcp.analytics.numbers import decimals, ratio, significant
from vibe_orderbook_mcp.analytics.results import Answer, iso_second, left_out_if_none
from vibe_orderbook_mcp.analytics.usual.measures import Measures
from vibe_orderbook_mcp.analytics.usual.own_rate import Measure
from vibe_orderbook_mcp.analytics.windows import Cut
from vibe_orderbook_mcp.model.events import Side

# As the answer names them, with the unit.
NAMES: Final[dict[Measure, str]] = {
    "price": "price_z",
    "volume": "volume_times",
    "sweep": "sweep_share",
    "depth": "depth_halvings",
    "spread": "spread_times",
}


class MeasuredLevel(Answer):
    """One of the five measures of a market shock, at its largest in the window."""

    value: float | None = Field(description="Null: not measurable in the window.")
    level: int | None = left_out_if_none(
        "0 usual, 1 unusual (about 20 times a day), 2 rare (about twice a day). Absent: too little history."
    )
    a_day: float | None = left_out_if_none(
        "Times that the symbol's last 24 h reached it. Absent: less than 24 h of history, or below the least value"
        " for level 1."
    )
    at: str | None = left_out_if_none("The second, ISO 8601 UTC.")


class Measured(Answer):
    """Values measured in the window, not verdicts; absent: unknown."""

    warming_up: bool | None = left_out_if_none("True: under one hour of history, so no verdict is given.")
    measures: dict[str, MeasuredLevel] = Field(
        description="price_z: largest move of mid over 1, 10, 60 s against the hour's volatility before it."
        " volume_times: quote volume of 60 s / the day's mean minute. sweep_share: largest taker order at 3"
        " prices or more / usual depth of the side. depth_halvings: depth withdrawn untraded, or missing, in halvings"
        " (1: half, 2: a quarter). spread_times: spread that lasted 3 s / the day's median. While warming up those that"
        " have no value yet are absent."
    )
    band_bps: int | None = left_out_if_none("The symbol's own band, bps from mid: depths here are measured within it.")
    withdrawn: float | None = left_out_if_none("Largest share of a side's depth withdrawn untraded within 5 s, 0 to 1.")
    depth_left: float | None = left_out_if_none("Least depth that lasted 3 s / usual depth, on the thinner side.")
    updates_per_s_peak: int = Field(description="Most book changes in one second.")
    updates_times_median: float | None = left_out_if_none("That peak / the trailing hour's median second.")
    update_surge_times: float | None = left_out_if_none(
        "Level 1: updates / the hour's median, in a second that is no burst only because mid moved."
    )
    updates_per_trade: float | None = left_out_if_none("Book changes per fill over the window.")
    depth_drop: float | None = left_out_if_none(
        "1 - thinner side's depth within the own band / its hourly median; now."
    )
    spread_times: float | None = left_out_if_none("Spread / the day's median, both at least 1 tick and 0.5 bp; now.")
    spread_bps: float | None = left_out_if_none("The spread itself, time-weighted over the newest second.")
    spread_usual_bps: float | None = left_out_if_none("The day's median spread itself.")
    cost_times: float | None = left_out_if_none(
        "Cost of taking a quarter of a usual side, on the costlier side / its day's median; now."
    )
    bid_cancel_share: float | None = left_out_if_none("Cancelled / (added + cancelled) bid size in the window.")
    ask_cancel_share: float | None = left_out_if_none("The same for asks.")
    fleeting_walls_bid: int | None = left_out_if_none("Large bids of the window that vanished within 10 s, untraded.")
    fleeting_walls_ask: int | None = left_out_if_none("The same for asks.")
    variance_times: float | None = left_out_if_none(
        "Realised variance of mid a second, last minute / trailing hour (5 s steps)."
    )
    absorption: list[AbsorptionEvent] = Field(
        description="Levels that absorbed over the whole window, as in get_order_flow. A finding is rarer: over 60 "
        "s, with"
        " a turnover that this symbol's levels exceed once in ten days."
    )
    vpin: float | None = left_out_if_none("Toxicity of flow, 0 to 1, as in get_order_flow; with detail=true.")
    vpin_rarity: float | None = left_out_if_none("Its rank among the values of the day before, 0 to 1.")


def measured_answer(watched: Watched, window: Cut, usual_move: float | None, vpin: Vpin | None) -> Measured:
    rows, seconds = window.rows, watched.measures
    now = next((each for each in reversed(seconds) if each.spread_bps is not None), Measures(-1))
    peak = max((row.ids for row in rows), default=0)
    usual = watched.usual_updates
    fills = sum(row.buy_trades + row.sell_trades for row in rows)
    bid, ask = watched.fleeting
    return Measured(
        warming_up=None if watched.is_ready else True,
        measures=_levels(watched),
        band_bps=None if watched.band is None else watched.band.bps,
        withdrawn=decimals(max((each.withdrawn for each in seconds if each.withdrawn is not None), default=None), 3),
        depth_left=significant(
            min((each.depth_left for each in seconds if each.depth_left is not None), default=None), 3
        ),
        updates_per_s_peak=peak,
        updates_times_median=None if usual is None else significant(ratio(peak, usual), 3),
        update_surge_times=significant(surge(seconds), 3),
        updates_per_trade=significant(ratio(sum(row.ids for row in rows), fills), 3),
        depth_drop=decimals(watched.depth_drop, 3),
        spread_times=significant(now.spread_times, 3),
        spread_bps=significant(now.spread_bps, 4),
        spread_usual_bps=significant(now.spread_usual_bps, 4),
        cost_times=significant(now.cost_times, 3),
        bid_cancel_share=decimals(_cancel_share(window, "bid"), 3),
        ask_cancel_share=decimals(_cancel_share(window, "ask"), 3),
        fleeting_walls_bid=None if bid is None else bid.walls,
        fleeting_walls_ask=None if ask is None else ask.walls,
        variance_times=significant(watched.variance_times, 3),
        absorption=absorbed_levels(watched.spec, window, usual_move),
        vpin=None if vpin is None else decimals(vpin.value, 4),
        vpin_rarity=None if vpin is None else decimals(vpin.rarity, 4),
    )


def surge(seconds: Sequence[Measures]) -> float | None:
    """The largest sweep of the window. None: there was none."""
    return max((each.update_surge for each in seconds if each.update_surge is not None), default=None)


def _levels(watched: Watched) -> dict[str, MeasuredLevel]:
    out = {}
    for measure, name in NAMES.items():
        each = watched.largest.get(measure)
        if each is None:
            if watched.is_ready:
                out[name] = MeasuredLevel(value=None)
            continue
        out[name] = MeasuredLevel(
            value=significant(each.value, 4),
            level=each.level,
            a_day=decimals(each.a_day, 1),
            at=iso_second(each.second.second),
        )
    return out


def _cancel_share(window: Cut, side: Side) -> float | None:
    flows = [row.bid if side == "bid" else row.ask for row in window.rows]
    cancelled = sum(flow.cancelled for flow in flows)
    return ratio(cancelled, cancelled + sum(flow.added for flow in flows))
