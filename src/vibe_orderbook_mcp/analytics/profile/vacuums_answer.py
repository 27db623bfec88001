"""The answer of `get_liquidity_vacuums`: prices with little volume or little depth, by distance from mid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from vibe_orderbook_mcp.analytics.numbers import decimals, plain, readable, significant, span_text
from vibe_orderbook_mcp.analytics.profile.bins import (
    PriceHistogram,
    Profile,
    choose_width,
    is_one_price,
    rebinned,
)
from vibe_orderbook_mcp.analytics.profile.coverage import (
    FETCH_SECS,
    LEAST_SECS,
    TapeCoverage,
    ago,
    answerable,
    not_traded_yet,
    nothing_traded,
    percent,
    tape_quality,
    tape_warnings,
    tape_window,
    too_little_held,
    window_text,
)
from vibe_orderbook_mcp.analytics.profile.thin_zones import thin_zones
from vibe_orderbook_mcp.analytics.profile.vacuums import Severity, TradedVacuums, traded_vacuums
from vibe_orderbook_mcp.analytics.profile.vacuums_result import (
    Kind,
    LiquidityVacuumsAnswer,
    RestingColumn,
    RestingRange,
    TradedRange,
    VacuumsDetail,
    VacuumZone,
    Where,
)
from vibe_orderbook_mcp.analytics.resting import KEPT_MS, MIN_SAMPLES, RestingDepth
from vibe_orderbook_mcp.analytics.results import about, iso
from vibe_orderbook_mcp.analytics.windows import MIN_COVERAGE, Span
from vibe_orderbook_mcp.model.moment import Status
from vibe_orderbook_mcp.model.symbol import SymbolSpec, tick_ticks

ZONES_SHOWN = 4  # in each direction
SHORT_SECS = 900  # a zone of a shorter window may trade within minutes


@dataclass(frozen=True, slots=True)
class _Zone:
    """One zone: prices from `low` (inclusive) to `end` (exclusive).

    `tick` is that of bins of one price each, and 0 for wider ones.
    """

    kind: Kind
    low: Decimal
    end: Decimal
    tick: Decimal = Decimal(0)
    deficit_pct: float | None = None
    severity: Severity | None = None
    before: float | None = None
    inside: float | None = None
    confirmed: bool = False

    @property
    def high(self) -> Decimal:
        """Its end as shown: the next bin's edge, or its highest price."""
        return self.end - self.tick

    def where(self, mid: Decimal) -> Where:
        if self.tick and mid in (self.low, self.high):
            return "around"
        return "below" if self.high <= mid else "above" if self.low >= mid else "around"

    def distance_bps(self, mid: Decimal) -> float:
        """Distance to its nearer edge."""
        return float(10_000 * max(Decimal(0), self.low - mid, mid - self.high) / mid)

    def overlaps(self, other: _Zone) -> bool:
        return self.low < other.end and other.low < self.end


@dataclass(frozen=True, slots=True)
class _Traded:
    """The traded part of the answer. Empty without a profile."""

    zones: list[_Zone]
    profile: Profile | None = None
    found: TradedVacuums | None = None
    range: TradedRange | None = None

    @property
    def trades(self) -> int:
        return self.profile.trade_count if self.profile else 0


def liquidity_vacuums_answer(
    spec: SymbolSpec,
    histogram: PriceHistogram,
    span: Span,
    tape: TapeCoverage,
    *,
    mid: float,
    trade_age_secs: float | None = None,
    as_of_ms: int,
    age_ms: int,
    status: Status,
    resting: Sequence[RestingDepth] = (),
    detail: bool = False,
    warnings: Sequence[str] = (),
) -> LiquidityVacuumsAnswer:
    """The answer of `get_liquidity_vacuums`. Either part can be missing; a `Refusal` if both are.

    `histogram` holds the trades of `tape.answered(span)`, `resting` is `RestingGrid.depth` of both sides,
    `mid` the mid at `as_of_ms`; without a mid, the price of the last trade, made `trade_age_secs` before `as_of_ms`.
    """
    watched = [side for side in resting if side.is_enough]
    traded = _traded(spec, histogram, span, tape, optional=bool(watched))
    zones = _confirmed(traded.zones, [zone for side in watched for zone in _resting(side, spec)])
    middle = Decimal(repr(mid))
    zones.sort(key=lambda zone: (zone.distance_bps(middle), zone.low, zone.kind))
    shown = zones if detail else _nearest(zones, middle)
    profile, found = traded.profile, traded.found
    sides = [zone.where(middle) for zone in zones]
    return LiquidityVacuumsAnswer(
        **about(spec),
        as_of=iso(as_of_ms),
        age_ms=age_ms,
        status=status,
        summary=_summary(spec, window_text(span, tape), zones, middle, traded, watched, trade_age_secs),
        warnings=[
            *warnings,
            *([] if trade_age_secs is None else [_no_mid(as_of_ms)]),
            *_warnings(span, tape, traded, resting, watched),
        ],
        window=tape_window(span, tape, traded.trades),
        quality="insufficient" if found is None else tape_quality(tape.share(span)),
        duration_hours=span.secs // 3600,
        mid=plain(middle),
        last_trade_age_secs=decimals(trade_age_secs, 1),
        zones=[_shown(zone, middle) for zone in shown],
        zones_below=sides.count("below"),
        zones_above=sides.count("above"),
        low_confidence=found is not None and found.low_confidence,
        bin_width=None if profile is None else plain(profile.width),
        usual_bin_base=None
        if profile is None or found is None or found.reference is None
        else significant(found.reference / 10**profile.lot_exp),
        traded=traded.range,
        resting=_resting_range(spec, watched) if watched else None,
        detail=_detail(spec, profile, watched) if detail else None,
    )


def _no_mid(trade_ms: int) -> str:
    return f"There is no mid now: distances are from the price of the last trade, at {iso(trade_ms)}."


def _detail(spec: SymbolSpec, profile: Profile | None, watched: Sequence[RestingDepth]) -> VacuumsDetail:
    scale = 1.0 if profile is None else 10.0**profile.lot_exp
    return VacuumsDetail(
        traded_low=None if profile is None else plain(profile.low_edge(0)),
        traded_base=[] if profile is None else [significant(lots / scale) for lots in profile.volume],
        resting=[
            RestingColumn(
                side=side.side,
                nearest_low=plain(_price(side.bins[0][0], spec.tick_exp)),
                depth_base=[significant(depth, 5) for _, depth in side.bins],
            )
            for side in watched
            if side.bins
        ],
    )


def _traded(spec: SymbolSpec, histogram: PriceHistogram, span: Span, tape: TapeCoverage, *, optional: bool) -> _Traded:
    """Raises `Refusal` without a traded part and without anything else to answer.

    Half of the trades and five minutes are needed: with too few trades, prices look thin that are not.
    """
    is_enough = _is_enough(span, tape)
    if not is_enough and not optional:
        refusal = not_traded_yet(spec.symbol) if tape.never_traded else too_little_held(spec.symbol, span, tape)
        # The resting book has its zones after a minute, regardless of the stored trades.
        refusal.hint += " Zones of the resting book are available a minute after its first use."
        if not tape.never_traded and (tape.is_new or tape.backfill is not None):
            refusal.retry_after_secs = FETCH_SECS  # a second of fetching brings minutes of trades
        refusal.retry_after_secs = min(KEPT_MS / 1000, refusal.retry_after_secs or KEPT_MS / 1000)
        raise refusal
    profile = None
    if is_enough:
        width = choose_width(histogram, spec)
        one_price = is_one_price(histogram, spec, width.width_ticks)
        profile = rebinned(histogram, width.width_ticks, width.within, one_price=one_price)
    if profile is None or profile.total == 0:
        if not optional:
            raise nothing_traded(spec.symbol, tape.answered(span))
        return _Traded([])
    found = traded_vacuums(profile.volume, profile.trades)
    zones = [
        _Zone(
            "traded",
            profile.low_edge(zone.first),
            profile.low_edge(zone.last + 1),
            profile.width if profile.one_price else Decimal(0),
            zone.deficit_pct,
            zone.severity,
        )
        for zone in found.zones
    ]
    return _Traded(zones, profile, found, _traded_range(histogram, profile, found))


def _traded_range(histogram: PriceHistogram, profile: Profile, found: TradedVacuums) -> TradedRange:
    first, last = found.core
    lowest, highest = (_price(ticks or 0, profile.tick_exp) for ticks in (histogram.low_ticks, histogram.high_ticks))
    return TradedRange(
        down_to=plain(max(profile.low_edge(first), lowest)),
        up_to=plain(min(profile.high_edge(last), highest)),
        lowest=plain(lowest),
        highest=plain(highest),
    )


def _is_enough(span: Span, tape: TapeCoverage) -> bool:
    part = tape.answered(span)
    is_long_enough = part == span or part.secs >= LEAST_SECS
    return is_long_enough and not tape.never_traded and tape.held_share(span) >= MIN_COVERAGE


def _resting(side: RestingDepth, spec: SymbolSpec) -> list[_Zone]:
    """One side's thin zones, in quote amounts, each bin valued at its middle."""
    lows, tick_exp = [low for low, _ in side.bins], spec.tick_exp
    notionals = [
        depth * (low + (side.width_ticks - _inclusive_ticks(side, spec)) / 2) / 10**tick_exp for low, depth in side.bins
    ]
    return [
        _Zone(
            "resting",
            _price(min(lows[zone.first], lows[zone.last]), tick_exp),
            _price(max(lows[zone.first], lows[zone.last]) + side.width_ticks, tick_exp),
            _price(_inclusive_ticks(side, spec), tick_exp),
            before=zone.before,
            inside=zone.inside,
        )
        for zone in thin_zones(notionals)
    ]


def _inclusive_ticks(side: RestingDepth, spec: SymbolSpec) -> int:
    """Distance from a bin's last price to the next bin if bins are prices; 0 if they are wider."""
    return side.width_ticks if side.width_ticks == tick_ticks(spec, spec.tick_exp) else 0


def _confirmed(traded: Sequence[_Zone], resting: Sequence[_Zone]) -> list[_Zone]:
    return [
        replace(zone, confirmed=any(zone.overlaps(other) for other in others))
        for own, others in ((traded, resting), (resting, traded))
        for zone in own
    ]


def _nearest(zones: Sequence[_Zone], mid: Decimal) -> list[_Zone]:
    """The nearest few zones in each direction."""
    left: dict[Where, int] = {"below": ZONES_SHOWN, "around": ZONES_SHOWN, "above": ZONES_SHOWN}
    shown = []
    for zone in zones:
        where = zone.where(mid)
        if left[where] > 0:
            left[where] -= 1
            shown.append(zone)
    return shown


def _shown(zone: _Zone, mid: Decimal) -> VacuumZone:
    return VacuumZone(
        kind=zone.kind,
        side=zone.where(mid),
        low=plain(zone.low),
        high=plain(zone.high),
        high_inclusive=bool(zone.tick),
        distance_bps=significant(zone.distance_bps(mid), 4),
        width_bps=significant(float(10_000 * (zone.end - zone.low) / mid), 4),
        deficit_pct=significant(zone.deficit_pct, 4),
        severity=zone.severity,
        notional_before_quote=significant(zone.before, 5),
        notional_inside_quote=significant(zone.inside, 5),
        confirmed=zone.confirmed,
    )


def _resting_range(spec: SymbolSpec, watched: Sequence[RestingDepth]) -> RestingRange:
    bids = [low for side in watched if side.side == "bid" for low, _ in side.bins]
    asks = [
        low + side.width_ticks - _inclusive_ticks(side, spec)
        for side in watched
        if side.side == "ask"
        for low, _ in side.bins
    ]
    exp = spec.tick_exp
    return RestingRange(
        bin_width=plain(_price(watched[0].width_ticks, exp)),
        samples=min(side.samples for side in watched),
        down_to=plain(_price(min(bids), exp)) if bids else None,
        up_to=plain(_price(max(asks), exp)) if asks else None,
    )


def _warnings(
    span: Span,
    tape: TapeCoverage,
    traded: _Traded,
    resting: Sequence[RestingDepth],
    watched: Sequence[RestingDepth],
) -> list[str]:
    out = []
    if traded.found is not None:
        out += tape_warnings(span, tape, traded.trades)
        if (secs := tape.answered(span).secs) < SHORT_SECS:
            out.append(f"Traded zones rest on only {span_text(secs)} of trades and may disappear within minutes.")
        if traded.found.low_confidence:
            out.append("A usual bin has fewer than 10 trades: traded zones may be chance.")
    elif tape.never_traded:
        out.append("No traded zones: the exchange has no trade of this symbol.")
    elif _is_enough(span, tape):
        out.append(f"No traded zones: nothing was traded in {span_text(tape.answered(span).secs)}.")
    elif tape.held == 0:
        out.append("No traded zones yet: no trade of the window is stored.")
    elif tape.held_share(span) >= MIN_COVERAGE:
        held = span_text(tape.answered(span).secs)
        out.append(f"No traded zones yet: {held} of trades are stored, {span_text(LEAST_SECS)} are needed.")
    else:
        out.append(
            f"No traded zones: {percent(tape.held_share(span))} % of the window's trades are stored, 50 % are needed."
            + answerable(tape, span)
        )
    if not watched:
        seen = max((side.samples for side in resting), default=0)
        wait = KEPT_MS // 1000 * (MIN_SAMPLES - seen) // MIN_SAMPLES
        out.append(f"No resting zones yet: the book must be recorded for about {wait} s more.")
    return out


def _summary(
    spec: SymbolSpec,
    window: str,
    zones: Sequence[_Zone],
    mid: Decimal,
    traded: _Traded,
    watched: Sequence[RestingDepth],
    trade_age_secs: float | None,
) -> str:
    parts = [
        f"trades of the last {window.removeprefix('last ')}" if traded.found is not None else "",
        "the resting book of the last minute" if watched else "",
    ]
    price = f"{'mid' if trade_age_secs is None else 'last trade'} {Decimal(plain(mid)):,f}{ago(trade_age_secs)}"
    looked_at = " and ".join(part for part in parts if part)
    head = f"{spec.symbol}, {price}, from {looked_at}"
    if not zones:
        return f"{head}: no thin zones {_looked_at(traded.range, _resting_range(spec, watched) if watched else None)}."
    texts = [
        f"{name} {_zone_text(spec, zone, mid)}"
        for where, name in (("around", "around mid"), ("below", "nearest below"), ("above", "nearest above"))
        if (zone := next((zone for zone in zones if zone.where(mid) == where), None)) is not None
    ]
    return f"{head}: {'; '.join(texts)}."


def _looked_at(traded: TradedRange | None, resting: RestingRange | None) -> str:
    """The searched price range: beyond it zones are unknown, not absent."""
    parts = []
    if traded is not None:
        parts.append(
            f"in trades from {_spoken(traded.down_to)} to {_spoken(traded.up_to)} (98 % of the volume; nothing was "
            f"traded below {_spoken(traded.lowest)} or above {_spoken(traded.highest)})"
        )
    if resting is not None and resting.down_to is not None:
        parts.append(f"in bids down to {_spoken(resting.down_to)}")
    if resting is not None and resting.up_to is not None:
        parts.append(f"in asks up to {_spoken(resting.up_to)}")
    return " or ".join(parts) or "in an empty book"


def _spoken(price: str) -> str:
    return f"{Decimal(price):,f}"


def _zone_text(spec: SymbolSpec, zone: _Zone, mid: Decimal) -> str:
    edges = [zone.low] if zone.low == zone.high else [zone.low, zone.high]
    prices = "-".join(f"{Decimal(plain(edge)):,f}" for edge in edges)
    away = f"{readable(zone.distance_bps(mid))} bps away"
    if zone.kind == "traded":
        what = f"{zone.severity}, {readable(zone.deficit_pct or 0.0)} % less traded than usual"
    else:
        inside, before = readable(zone.inside or 0.0), readable(zone.before or 0.0)
        what = f"{inside} {spec.quote_asset} rest inside and {before} before it, mean of 60 s"
    confirmed = ", thin in both" if zone.confirmed else ""
    return f"{prices} ({away}; {what}{confirmed})"


def _price(ticks: int, tick_exp: int) -> Decimal:
    return Decimal(ticks).scaleb(-tick_exp)
