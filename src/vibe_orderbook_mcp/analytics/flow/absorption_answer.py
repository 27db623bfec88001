"""Absorption in the answers of `get_order_flow` and `detect_market_anomalies`."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import Field

from vibe_orderbook_mcp.analytics.flow.absorption import (
    Absorber,
    WindowAbsorption,
    absorber,
    allowance_ticks,
    level_absorption,
    replenished,
    share_of_aggression,
    windows_needed,
)
from vibe_orderbook_mcp.analytics.numbers import decimals, exact_price, readable, significant
from vibe_orderbook_mcp.analytics.results import Answer, left_out_if_none
from vibe_orderbook_mcp.analytics.windows import Cut
from vibe_orderbook_mcp.model.symbol import SymbolSpec

LEVELS_SHOWN: Final = 3
QUOTE_DIGITS: Final = 8
# A level that absorbed a smaller share of that side's taker volume is listed, but not in the summary.
TOLD_SHARE: Final = 0.1


class AbsorptionEvent(Answer):
    """Aggression that did not move the price. The data does not show who absorbed it."""

    direction: Absorber = Field(description="passive_buying: bids absorbed sells; passive_selling: asks absorbed buys.")
    rule: Literal["level", "window"] = Field(
        description="level: one refilled price; window: one-sided aggression that mid did not follow, its net amount in"
        " the largest hundredth of equal windows."
    )
    price: str | None = left_out_if_none("The level's price (rule level).")
    traded_base: float | None = left_out_if_none("Base units that traded against the level.")
    trades: int | None = left_out_if_none("Fills against the level.")
    shown_max_base: float | None = left_out_if_none("The most the level ever displayed, in base units.")
    replenished_base: float | None = left_out_if_none("Base units refilled at the level.")
    share_of_volume: float | None = left_out_if_none("Absorbed volume / all taker volume in that direction, 0 to 1.")
    net_quote: float | None = left_out_if_none("Takers' buys - sells in quote units (rule window).")
    net_share: float | None = left_out_if_none("|net_quote| / volume, 0 to 1 (rule window).")
    moved_ticks: float | None = left_out_if_none("Ticks that mid moved in the takers' direction (rule window).")
    rarity: float | None = left_out_if_none("Rank of |net_quote| among earlier equal windows, 0 to 1 (rule window).")


class AbsorptionCheck(Answer):
    """The limits of the absorption rules and the measured values."""

    allowance_ticks: float = Field(description="Move of mid that both rules allow, in ticks.")
    kappa_ticks: float | None = Field(
        description="Median absolute mid move of equal windows in the hour before, in ticks. Null: under 15 minutes"
        " of history, so the allowance is one tick."
    )
    net_quote: float | None = Field(description="Takers' buys - sells in quote units. Null: no mid.")
    net_share: float | None = Field(description="|net_quote| / volume; the window rule needs 0.5. Null: no trades.")
    net_needed_quote: float | None = Field(
        description="0.99 quantile of |net_quote| of earlier equal windows, also needed. Null: too few of them."
    )
    net_rarity: float | None = Field(description="Rank of |net_quote| among them, 0 to 1. Null: too few of them.")
    moved_ticks: float | None = Field(description="Ticks that mid moved in the takers' direction. Null: no mid.")
    windows: int = Field(description="Number of earlier equal windows.")
    windows_needed: int = Field(description="Number of earlier equal windows that a rarity needs.")


def absorbed_levels(spec: SymbolSpec, window: Cut, kappa: float | None) -> list[AbsorptionEvent]:
    """The levels that absorbed in the window, most traded first. `kappa`: `absorption.kappa_ticks`."""
    return [
        AbsorptionEvent(
            direction=absorber(level.side),
            rule="level",
            price=exact_price(spec, level.price),
            traded_base=decimals(level.traded, spec.lot_exp),
            trades=level.trades,
            shown_max_base=decimals(level.shown_max, spec.lot_exp),
            replenished_base=decimals(replenished(level), spec.lot_exp),
            share_of_volume=decimals(share_of_aggression(level, window), 4),
        )
        for level in level_absorption(window, float(spec.tick_size), kappa)[:LEVELS_SHOWN]
    ]


def absorbed_window(found: WindowAbsorption | None) -> list[AbsorptionEvent]:
    if found is None or (kind := found.absorber) is None:
        return []
    return [
        AbsorptionEvent(
            direction=kind,
            rule="window",
            net_quote=significant(found.net_quote, QUOTE_DIGITS),
            net_share=decimals(found.net_share, 4),
            moved_ticks=significant(found.moved_ticks, 5),
            rarity=decimals(found.rarity, 4),
        )
    ]


def absorption_check(kappa: float | None, found: WindowAbsorption | None, secs: int, windows: int) -> AbsorptionCheck:
    return AbsorptionCheck(
        allowance_ticks=significant(allowance_ticks(kappa), 5),
        kappa_ticks=significant(kappa, 5),
        net_quote=None if found is None else significant(found.net_quote, QUOTE_DIGITS),
        net_share=None if found is None else decimals(found.net_share, 4),
        net_needed_quote=None if found is None else significant(found.net_needed_quote, 5),
        net_rarity=None if found is None else decimals(found.rarity, 4),
        moved_ticks=None if found is None else significant(found.moved_ticks, 5),
        windows=windows if found is None else found.windows,
        windows_needed=windows_needed(secs),
    )


def is_worth_telling(event: AbsorptionEvent) -> bool:
    """Whether it belongs in a summary."""
    return event.rule == "window" or (event.share_of_volume or 0.0) >= TOLD_SHARE


def absorption_text(event: AbsorptionEvent, spec: SymbolSpec, secs: int) -> str:
    """An absorption in the words of a trading desk."""
    is_buying = event.direction == "passive_buying"
    kind = "Passive buying" if is_buying else "Passive selling"
    if event.price is None or event.traded_base is None or event.shown_max_base is None:
        way = "selling" if is_buying else "buying"
        moved = event.moved_ticks or 0.0
        mid = "did not follow" if moved <= 0.0 else f"followed by {readable(moved)} ticks, no more than usual"
        return (
            f"{kind}: takers' net {way} of {readable(abs(event.net_quote or 0.0))} {spec.quote_asset} is more than in"
            f" 99 % of earlier {secs} s windows, and mid {mid}."
        )
    share = f", {100 * (event.share_of_volume or 0.0):.0f} % of takers' {'sells' if is_buying else 'buys'}"
    return (
        f"{kind} at {float(event.price):,.{spec.tick_exp}f}: {readable(event.traded_base)} {spec.base_asset} traded"
        f" against at most {readable(event.shown_max_base)} shown{share}."
    )
