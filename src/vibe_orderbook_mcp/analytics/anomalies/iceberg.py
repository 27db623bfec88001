"""Levels that trade far more than they show.

The feed shows the displayed size every 100 ms and every trade, not orders: one hidden order and several traders who
quote again look alike. Executed volume is a lower bound of the size that rested there.
"""

from __future__ import annotations

from math import log
from typing import Final, Literal

import msgspec

from vibe_orderbook_mcp.analytics.findings import Evidence, Finding, Severity
from vibe_orderbook_mcp.analytics.usual.baseline import Baseline
from vibe_orderbook_mcp.model.events import Side
from vibe_orderbook_mcp.seconds.refills import (
    CHAIN_MS,
    KEPT_UP_MS,
    MIN_REFILLS,
    MIN_TURNOVER,
    SAME_SHARE,
    SIZES_KEPT,
    RefillChain,
    Turnover,
)

IcebergClass = Literal["native_like", "replenished_level"]

LEVELS_NEEDED: Final = 200
OPEN_MOST: Final = 50
EQUAL_NEEDED: Final = 3  # two of four sizes agree by chance, on a quiet day

_ROUNDING: Final = 1e-9


def iceberg_class(chain: RefillChain) -> IcebergClass | None:
    """None: no evidence."""
    turnover = chain.turnover
    if chain.refills < MIN_REFILLS or turnover is None or turnover < MIN_TURNOVER * (1 - _ROUNDING):
        return None
    if not chain.is_one_sided:  # two parties that trade with each other look like a native iceberg
        return None
    return "native_like" if chain.equal_share >= SAME_SHARE else "replenished_level"


def equal_refills(chain: RefillChain) -> int:
    """How many refills, of those whose sizes are remembered, agree with the tranche."""
    return round(chain.equal_share * min(chain.refills, SIZES_KEPT))


def size_limit(chain: RefillChain, parts: int) -> float:
    """The largest size of a native iceberg with this tranche: the exchange limits the number of its parts."""
    return max(chain.executed, parts * chain.tranche)


def severity_of(turnover: float) -> Severity:
    return "Medium" if turnover >= 10.0 else "Low"


class Icebergs:
    """Open chains by level. `parts` is the exchange's ICEBERG_PARTS of the symbol; None: unknown."""

    def __init__(self, parts: int | None = None) -> None:
        self._parts = parts
        self._open: dict[tuple[Side, float], Finding] = {}
        self._last_ms: dict[tuple[Side, float], int] = {}

    @property
    def open(self) -> list[Finding]:
        return list(self._open.values())

    def second(
        self, second: int, chains: tuple[RefillChain, ...], ended: tuple[Turnover, ...], baseline: Baseline
    ) -> list[Finding]:
        """Findings that changed. `ended` are the turnovers of levels that trades no longer hit: they define what is
        usual."""
        changed = []
        for chain in chains:
            finding = self._finding(chain, baseline)
            if finding is None:
                continue
            key = chain.side, chain.price
            known = self._open.get(key)
            if known is not None:  # every refill shows more precisely when the equal ones began
                finding = msgspec.structs.replace(finding, start_ms=known.start_ms)
            self._open[key], self._last_ms[key] = finding, chain.last_ms
            if known is None or known.severity != finding.severity:
                changed.append(finding)
        for turnover in ended:
            if turnover.times > 0.0:
                baseline.count_event("turnover", second, log(turnover.times))
                if turnover.kept_up:
                    baseline.count_event("kept_up", second, log(turnover.times))
        over = [key for key, last_ms in self._last_ms.items() if (second + 1) * 1000 - last_ms > CHAIN_MS]
        over += list(self._open)[: max(0, len(self._open) - OPEN_MOST)]
        for key in dict.fromkeys(over):
            last_ms = self._last_ms.pop(key)
            changed.append(self._open.pop(key).ended(last_ms))
        return changed

    def _finding(self, chain: RefillChain, baseline: Baseline) -> Finding | None:
        kind, turnover = iceberg_class(chain), chain.turnover
        if kind is None or turnover is None:
            return None
        standing = baseline.standing_level("turnover", log(turnover))
        if standing is not None and standing.n < LEVELS_NEEDED:
            standing = None
        if kind == "replenished_level" or equal_refills(chain) < EQUAL_NEEDED:
            # At a busy touch many traders refill a level: that is usual. Only a rare turnover is reported.
            is_brief = chain.last_ms - chain.start_ms < KEPT_UP_MS
            least = None if is_brief or not baseline.is_ready else baseline.alarm_turnover()
            if least is None or turnover < least:
                return None
        evidence: Evidence = {
            "class": kind,
            "executed_base": chain.executed,
            "max_shown_base": chain.max_shown,
            "turnover": turnover,
            "refills": chain.refills,
            "replenished_base": chain.replenished,
            "over_execution_base": chain.over_execution,
        }
        if kind == "native_like":
            evidence["tranche_base"] = chain.tranche
            evidence["equal_refill_share"] = chain.equal_share
            if self._parts is not None:
                evidence["at_most_base"] = size_limit(chain, self._parts)
        return Finding(
            type="iceberg",
            start_ms=chain.start_ms,
            end_ms=None,
            severity=severity_of(turnover),
            rarity=None if standing is None else standing.rarity,
            n_eff=None if standing is None else standing.n_eff,
            side=chain.side,
            price=chain.price,
            evidence=evidence,
            thresholds={"refills": MIN_REFILLS, "turnover": MIN_TURNOVER},
        )
