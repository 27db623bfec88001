"""The finding of a detector: what was measured, how large and how rare it was, and what it does not prove."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from vibe_orderbook_mcp.model.errors import StorageCorrupt
from vibe_orderbook_mcp.model.events import Side
from vibe_orderbook_mcp.model.rows import StoredEvent

FindingType = Literal["market_shock", "update_burst", "fleeting_cluster", "crash_precursor", "absorption", "iceberg"]
Severity = Literal["Low", "Medium", "High", "Critical"]
Evidence = dict[str, float | str | bool]

SEVERITIES: Final[tuple[Severity, ...]] = ("Low", "Medium", "High", "Critical")
TYPES: Final[tuple[FindingType, ...]] = (
    "market_shock",
    "update_burst",
    "fleeting_cluster",
    "crash_precursor",
    "absorption",
    "iceberg",
)

LIMITS: Final[dict[FindingType, str]] = {
    "market_shock": "Says that price moved, something was traded and something was rare; not who, why or what follows.",
    "update_burst": "Counts book changes; who made them and why is not in the data.",
    "fleeting_cluster": "Short-lived large quotes are common; owner and intent are not in the data.",
    "crash_precursor": "Describes thinning liquidity now; it does not predict a fall.",
    "absorption": "Volume met a refilled level; one hidden order and several traders look alike.",
    "iceberg": "In 100 ms frames one hidden order and several traders who quote again look alike; executed is a lower"
    " bound of its size.",
}


class Component(msgspec.Struct, frozen=True):
    """A measure's largest value during a market shock."""

    value: float
    level: int  # 0 usual, 1 unusual, 2 rare
    at_ms: int  # start of the second


class SweepFacts(msgspec.Struct, frozen=True):
    """A taker order, or several of the same millisecond, at three prices or more."""

    at_ms: int
    side: Side  # of the book that it hit
    prices: int
    quote: float
    share: float | None  # share of the usual depth of that side within the own band
    slippage_bps: float | None  # average price from the touch; + is a cost
    reach_bps: float | None  # last price from the touch
    levels_cleared: int | None
    burst_quote: float  # with the sweeps of that side up to half a second before it, each to the next


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One episode. It is open while `end_ms` is None; `key` stays the same when it is updated or closed."""

    type: FindingType
    start_ms: int
    end_ms: int | None
    severity: Severity
    rarity: float | None  # 0 to 1 against the symbol's own quiet history; None: too little of it
    n_eff: float | None = None  # independent observations behind `rarity`
    side: Side | None = None
    price: float | None = None
    evidence: Evidence = {}
    thresholds: dict[str, float] = {}
    components: dict[str, Component] = {}
    sweeps: tuple[SweepFacts, ...] = ()  # the largest, largest first

    @property
    def key(self) -> tuple[str, int, str, float]:
        return self.type, self.start_ms, self.side or "", self.price or 0.0

    @property
    def is_open(self) -> bool:
        return self.end_ms is None

    def ended(self, end_ms: int) -> Finding:
        return msgspec.structs.replace(self, end_ms=end_ms)


def to_stored(finding: Finding) -> StoredEvent:
    """The finding as history stores it: by type and start, so the type also names side and price."""
    place = [finding.side or "", "" if finding.price is None else repr(finding.price)]
    return StoredEvent(
        type=" ".join([finding.type, *filter(None, place)]),
        start_ms=finding.start_ms,
        end_ms=finding.end_ms,
        severity=finding.severity,
        rarity=finding.rarity,
        evidence={
            "side": finding.side,
            "price": finding.price,
            "n_eff": finding.n_eff,
            "values": finding.evidence,
            "thresholds": finding.thresholds,
            **({"components": msgspec.to_builtins(finding.components)} if finding.components else {}),
            **({"sweeps": msgspec.to_builtins(finding.sweeps)} if finding.sweeps else {}),
        },
    )


def from_stored(event: StoredEvent) -> Finding:
    """Raises StorageCorrupt."""
    kind, evidence = event.type.split(" ")[0], event.evidence
    try:
        return msgspec.convert(
            {
                "type": kind,
                "start_ms": event.start_ms,
                "end_ms": event.end_ms,
                "severity": event.severity,
                "rarity": event.rarity,
                "side": evidence["side"],
                "price": evidence["price"],
                "n_eff": evidence["n_eff"],
                "evidence": evidence["values"],
                "thresholds": evidence["thresholds"],
                "components": evidence.get("components", {}),
                "sweeps": evidence.get("sweeps", ()),
            },
            Finding,
        )
    except (msgspec.ValidationError, KeyError) as error:
        raise StorageCorrupt(f"A stored finding of type {kind!r} cannot be read: {error}") from error
