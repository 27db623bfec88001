"""Microstructure health, 0 to 100: is the market in its own usual state?

Each component has a score from 0 to 100. The health score is their weighted mean, with two caps. The worst of spread,
depth and price stability caps the score. If both spread and depth have collapsed, nothing else counts. An unknown
component is left out with its weight; below half of the weights there is no score. A falling component never raises the
score. Weights, caps and scales are our judgement.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import exp, log, log2
from typing import Final, Literal, NamedTuple

from vibe_orderbook_mcp.analytics.numbers import clip01

Component = Literal["spread_stability", "liquidity_depth", "price_stability", "flow_balance", "update_rate"]
HealthLevel = Literal["Excellent", "Good", "Fair", "Poor", "Critical", "Unknown"]
MarketClass = Literal["A", "B", "C", "D", "E"]

WEIGHTS: Final[dict[Component, float]] = {
    "spread_stability": 0.20,
    "liquidity_depth": 0.30,
    "price_stability": 0.15,
    "flow_balance": 0.20,
    "update_rate": 0.15,
}
HARD: Final[tuple[Component, ...]] = ("spread_stability", "liquidity_depth", "price_stability")
BOOK: Final[tuple[Component, ...]] = ("spread_stability", "liquidity_depth")
MIN_WEIGHT: Final = 0.5
WORST_CAP, WORST_SLOPE = 39.0, 0.61  # a book without depth, or a price that runs, is at most Poor
BOOK_CAP, BOOK_SLOPE = 19.0, 0.81  # without depth and with an open spread it is Critical
EXCELLENT_LEAST: Final = 50.0  # one weak component caps the level to Good

# Scales against the symbol's own usual.
ZERO_OCTAVES: Final = 3.0  # eight times the usual spread, an eighth of the usual depth
CALM_Z, STABILITY_OCTAVES = 2.0, 2.5
ACTIVITY_OCTAVES: Final = 4.0
SHRINK: Final = 0.25  # of a usual window's volume

# General scales, used only below 15 minutes of history.
BEST_SPREAD_BPS, WORST_SPREAD_BPS = 1.0, 50.0
BEST_DEPTH_USD, WORST_DEPTH_USD = 1e6, 1e4
FRESH_MS, SILENT_MS = 1_000, 10_000

# The highest cost of a 10,000 dollar round trip for each class, in bps.
CLASSES: Final[tuple[tuple[float, MarketClass], ...]] = ((2.0, "A"), (10.0, "B"), (30.0, "C"), (100.0, "D"))
# Quote assets close enough to a US dollar for these scales.
DOLLARS: Final = frozenset({"USDT", "USDC", "FDUSD", "TUSD", "BUSD", "USDP", "DAI", "USD", "USD1", "USDE", "PYUSD"})


class Part(NamedTuple):
    """A component. `trust`, 0 to 1, is the part of its weight that counts while the baseline is young."""

    score: float
    trust: float = 1.0

    @property
    def felt(self) -> float:
        """The score blended with 100 by trust: 100 without any trust."""
        return 100.0 - self.trust * (100.0 - self.score)


def geometric_mean(scores: Iterable[float | None]) -> float | None:
    """Of the scores that are known."""
    known = [score for score in scores if score is not None]
    if not known:
        return None
    return 0.0 if min(known) <= 0.0 else min(100.0, exp(sum(map(log, known)) / len(known)))


def wider_score(times: float) -> float:
    """As usual or tighter 100, twice 66.7, eight times as wide 0."""
    return 100 * clip01(1 - log2(max(times, 1e-9)) / ZERO_OCTAVES)


def thinner_score(share: float) -> float:
    """As usual or more 100, half 66.7, an eighth 0."""
    return 100 * clip01(1 + log2(max(share, 1e-9)) / ZERO_OCTAVES)


def stability_score(price_z: float) -> float:
    """A move of up to twice the usual one 100, five times 47, 11.3 times 0."""
    return 100 * clip01(1 - log2(max(price_z, CALM_Z) / CALM_Z) / STABILITY_OCTAVES)


def activity_score(times: float) -> float:
    """As usual 100, 16 times or a sixteenth 0."""
    return 100 * clip01(1 - abs(log2(max(times, 1e-9))) / ACTIVITY_OCTAVES)


def balance_score(buy: float, sell: float, usual: float) -> float | None:
    """A quarter of a usual window's volume is added to the denominator: one small trade does not make a market
    one-sided."""
    if buy + sell <= 0.0:
        return None
    return 100 * clip01(1 - abs(buy - sell) / (buy + sell + SHRINK * usual))


def spread_score(bps: float) -> float:
    """1 bp or less 100, 50 bps or more 0."""
    return 100 * clip01(1 - log(max(bps, BEST_SPREAD_BPS) / BEST_SPREAD_BPS) / log(WORST_SPREAD_BPS / BEST_SPREAD_BPS))


def depth_score(usd: float) -> float:
    """10 thousand or less 0, 1 million or more 100."""
    return 100 * clip01(log(max(usd, WORST_DEPTH_USD) / WORST_DEPTH_USD) / log(BEST_DEPTH_USD / WORST_DEPTH_USD))


def freshness_score(age_ms: float) -> float:
    return 100 * clip01((SILENT_MS - age_ms) / (SILENT_MS - FRESH_MS))


def health_of(parts: Mapping[Component, Part]) -> tuple[float | None, HealthLevel]:
    """The score of the components that are known, and its level."""
    weights = {name: WEIGHTS[name] * part.trust for name, part in parts.items()}
    weight = sum(weights.values())
    if weight < MIN_WEIGHT - 1e-9:
        return None, "Unknown"
    score = sum(weights[name] * part.score for name, part in parts.items()) / weight
    if hard := [parts[name].felt for name in HARD if name in parts]:
        score = min(score, WORST_CAP + WORST_SLOPE * min(hard))
    if all(name in parts for name in BOOK):
        score = min(score, BOOK_CAP + BOOK_SLOPE * max(parts[name].felt for name in BOOK))
    return score, level_of(score, min(part.felt for part in parts.values()))


def level_of(score: float, weakest: float) -> HealthLevel:
    if score >= 80:
        return "Excellent" if weakest >= EXCELLENT_LEAST else "Good"
    return "Good" if score >= 60 else "Fair" if score >= 40 else "Poor" if score >= 20 else "Critical"


def market_class(round_trip_bps: float) -> MarketClass:
    """The market's class by cost, regardless of its usual. Infinite: 10,000 dollars do not fill."""
    return next((name for most, name in CLASSES if round_trip_bps <= most), "E")


def usd_rate_of(quote_asset: str) -> float | None:
    return 1.0 if quote_asset in DOLLARS else None
