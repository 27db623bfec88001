"""The symbols the simulated exchange lists, and how lively each one is. PURE.

The figures of the majors follow a recording of the real BTCUSDT: 70 book-changing actions and 46 touched levels an
event, ten events and 17 aggregate trades a second, 19 levels within 1 bp of the mid and 356 within 20 bp.
"""

from __future__ import annotations

from typing import Final

import msgspec

from vibe_orderbook_mcp.model.errors import ConfigError
from vibe_orderbook_mcp.sim.rules import Grid, Rules

MAJOR_MAKES: Final = 420.0  # resting orders a second in BTCUSDT


class TradingStyle(msgspec.Struct, frozen=True, kw_only=True):
    """How one symbol trades in the scenario 'normal'."""

    rules: Rules
    open_ticks: int  # the price the sim opens at
    makes: float  # resting orders placed a second; about as many are cancelled
    takes: float  # taker orders a second, bursts included
    far_levels: int  # levels a side of the deep, slow part of the book
    typical_lots: int  # median resting order
    vol_bps: float  # of the fair price, per square root of a second
    id_rate: float  # aggregate-trade ids a second of history; above what 'busy' uses, so that ids never run back


def _profile(
    base: str, price: str, tick_exp: int, lot_exp: int, *, usd: float, activity: float, levels: int, vol: float = 1.0
) -> TradingStyle:
    """`usd` is the median resting order's worth, `activity` the liveliness relative to BTCUSDT."""
    grid, lots = Grid(tick_exp), Grid(lot_exp)
    ticks = grid.units(price)
    # Largest sizes so that a thousand of them, in lots, stay within 15 digits (model.symbol.check_exact).
    max_lots = 900_000_000 if lot_exp else 90_000_000
    rules = Rules(
        symbol=f"{base}USDT",
        base=base,
        quote="USDT",
        price=grid,
        size=lots,
        max_price=grid.text(10 ** (len(str(ticks)) + 1)),
        max_size=lots.text(max_lots),
    )
    return TradingStyle(
        rules=rules,
        open_ticks=ticks,
        makes=MAJOR_MAKES * activity,
        takes=11.5 * activity,
        far_levels=levels,
        typical_lots=max(1, round(usd / float(price) * 10**lot_exp)),
        vol_bps=vol,
        id_rate=max(0.2, 52 * activity),
    )


PROFILES: Final[dict[str, TradingStyle]] = {
    profile.rules.symbol: profile
    for profile in (
        _profile("BTC", "67650.01", 2, 5, usd=900, activity=1.0, levels=6600),
        _profile("ETH", "3410.22", 2, 4, usd=900, activity=0.9, levels=6800, vol=1.2),
        _profile("SOL", "171.35", 2, 3, usd=700, activity=0.4, levels=3200, vol=1.6),
        _profile("BNB", "612.40", 2, 3, usd=600, activity=0.3, levels=2800),
        _profile("XRP", "0.5712", 4, 1, usd=600, activity=0.3, levels=1500, vol=1.3),
        _profile("DOGE", "0.12345", 5, 0, usd=500, activity=0.3, levels=2500, vol=1.6),
        _profile("ADA", "0.4471", 4, 1, usd=400, activity=0.2, levels=1200, vol=1.4),
        _profile("AVAX", "27.31", 2, 2, usd=300, activity=0.15, levels=1200, vol=1.5),
        _profile("LINK", "13.84", 2, 2, usd=300, activity=0.15, levels=900, vol=1.4),
        _profile("LTC", "71.62", 2, 3, usd=300, activity=0.15, levels=1500, vol=1.2),
        _profile("DOT", "5.984", 3, 2, usd=300, activity=0.12, levels=1200, vol=1.3),
        _profile("TRX", "0.1367", 4, 1, usd=300, activity=0.12, levels=700, vol=0.6),
        _profile("SHIB", "0.00001734", 8, 0, usd=300, activity=0.12, levels=800, vol=1.8),
        _profile("PEPE", "0.00001152", 8, 0, usd=300, activity=0.15, levels=700, vol=2.2),
        _profile("UNI", "7.621", 3, 2, usd=250, activity=0.1, levels=1000, vol=1.5),
        _profile("NEAR", "5.213", 3, 1, usd=250, activity=0.1, levels=1000, vol=1.6),
        _profile("ATOM", "6.402", 3, 2, usd=250, activity=0.1, levels=900, vol=1.4),
        _profile("APT", "6.93", 2, 2, usd=250, activity=0.1, levels=500, vol=1.6),
        _profile("ARB", "0.7215", 4, 1, usd=250, activity=0.1, levels=1200, vol=1.6),
        _profile("SUI", "0.8243", 4, 1, usd=250, activity=0.12, levels=1200, vol=1.8),
        _profile("FIL", "4.412", 3, 2, usd=200, activity=0.08, levels=900, vol=1.4),
        _profile("XLM", "0.1021", 4, 0, usd=200, activity=0.08, levels=600, vol=1.2),
        _profile("WBTC", "67602.17", 2, 5, usd=400, activity=0.04, levels=700),
        # The slow one: a change every few seconds, a trade every few minutes.
        _profile("WAN", "0.2135", 4, 0, usd=60, activity=0.0005, levels=180, vol=0.4),
        # A real listing of 2026 whose name is not ASCII: it must survive URLs, stream names and storage keys.
        _profile("币安人生", "0.1187", 4, 1, usd=150, activity=0.1, levels=700, vol=2.5),
    )
}

DEFAULT_SYMBOLS: Final = (
    "BTCUSDT",
    "ETHUSDT",
    "SOLUSDT",
    "BNBUSDT",
    "XRPUSDT",
    "DOGEUSDT",
    "ADAUSDT",
    "WANUSDT",
    "币安人生USDT",
)


def profile_of(symbol: str) -> TradingStyle:
    try:
        return PROFILES[symbol]
    except KeyError:
        known = ", ".join(PROFILES)
        raise ConfigError(f"The simulated exchange does not list {symbol!r}; it knows {known}.") from None
