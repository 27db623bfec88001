"""Impact, volatility and toxicity as `get_order_flow` shows them in its detail."""

from __future__ import annotations

from pydantic import Field

from vibe_orderbook_mcp.analytics.flow.impact import Illiquidity, KyleLambda
from vibe_orderbook_mcp.analytics.flow.toxicity import VolumeVpin
from vibe_orderbook_mcp.analytics.flow.volatility import Volatility
from vibe_orderbook_mcp.analytics.numbers import decimals, significant
from vibe_orderbook_mcp.analytics.results import Answer, left_out_if_false
from vibe_orderbook_mcp.analytics.windows import Quality
from vibe_orderbook_mcp.model.symbol import SymbolSpec


class KyleImpact(Answer):
    """Least squares of mid change on signed traded volume over 10 s buckets of the trailing hour (Kyle's lambda)."""

    bps_per_100k_quote: float = Field(description="Bps that mid moved per 100 000 quote units bought net.")
    r2: float | None = Field(description="Share of mid's variance explained, 0 to 1. Null: mid never moved.")
    t: float | None = Field(description="t statistic of the slope. Null: no residual to judge by.")
    not_significant: bool = left_out_if_false("Present and true: |t| below 2, so the impact may be noise.")
    buckets: int = Field(description="10 s buckets used; at least 30.")


class AmihudIlliquidity(Answer):
    """Price move per traded amount, over one-minute buckets of the trailing hour."""

    value: float | None = Field(
        description="Mean of |return of mid| / quote volume, times 10^6. Null: no covered minute with trades."
    )
    minutes: int = Field(description="Minutes used.")
    skipped_minutes: int = Field(description="Covered minutes without trades; they are left out.")


class RealisedVolatility(Answer):
    """Movement of mid on a 5 s grid over the recorded part of the trailing hour."""

    vol_bps: float | None = Field(
        description="Over span_secs, in bps. Null: under 12 returns, or less than 80 % of the grid is known."
    )
    annualised_pct: float | None = Field(description="The same as per cent a year.")
    jump_share: float | None = Field(description="Part of the variance that came in jumps, 0 to 1. Null: no movement.")
    span_secs: int = Field(description="Seconds that the grid spans.")
    returns: int = Field(description="5 s returns used; 12 are needed.")


class VpinFigure(Answer):
    """One-sidedness of trading over equal amounts of volume; not the probability of anything."""

    value: float | None = Field(description="0: balanced, 1: all on one side. Null: fewer than 10 full buckets.")
    buckets: int = Field(description="Full buckets used; 50 make it ok.")
    bucket_base: float = Field(description="Volume of a bucket, base units.")
    quality: Quality = Field(description="ok: 50 buckets; partial: 10 to 49; insufficient: fewer.")
    rarity: float | None = Field(description="Rank among its own earlier values, 0 to 1. Null: fewer than 30.")


def kyle_part(fit: KyleLambda) -> KyleImpact:
    return KyleImpact(
        bps_per_100k_quote=significant(fit.bps_per_100k, 5),
        r2=decimals(fit.r2, 4),
        t=significant(fit.t, 4),
        not_significant=not fit.significant,
        buckets=fit.buckets,
    )


def amihud_part(found: Illiquidity) -> AmihudIlliquidity:
    return AmihudIlliquidity(value=significant(found.value, 5), minutes=found.buckets, skipped_minutes=found.skipped)


def volatility_part(found: Volatility) -> RealisedVolatility:
    return RealisedVolatility(
        vol_bps=significant(found.bps, 5),
        annualised_pct=None if found.annualised is None else significant(100 * found.annualised, 4),
        jump_share=decimals(found.jump_share, 4),
        span_secs=found.span_secs,
        returns=found.returns,
    )


def vpin_part(spec: SymbolSpec, newest: VolumeVpin) -> VpinFigure:
    found = newest.vpin
    return VpinFigure(
        value=decimals(found.value, 4),
        buckets=found.buckets,
        bucket_base=decimals(newest.bucket_lots / 10**spec.lot_exp, spec.lot_exp),
        quality=found.quality,
        rarity=decimals(found.rarity, 4),
    )
