"""How often detectors speak up in a market where nothing happened: counted, not promised (definition sheet 7.3)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from vibe_orderbook_mcp.analytics.findings import FindingType
from vibe_orderbook_mcp.analytics.watch import SymbolWatch
from vibe_orderbook_mcp.core.evidence import LevelEvidence
from vibe_orderbook_mcp.core.rows import SecondRow

DAY_SECS = 86_400


@dataclass(frozen=True, slots=True)
class QuietRun:
    """`judged` seconds are those in which verdicts could be given; findings are counted once, when they open."""

    seconds: int
    judged: int
    opened: dict[FindingType, int]

    def per_day(self, kind: FindingType) -> float | None:
        """False alarms a day, if the market was quiet. None: nothing was judged."""
        return self.opened.get(kind, 0) * DAY_SECS / self.judged if self.judged else None


def count_verdicts(watch: SymbolWatch, seconds: Iterable[tuple[SecondRow, LevelEvidence | None]]) -> QuietRun:
    """Feeds the seconds to the watch. Pure: whoever calls it brings the recording or the simulation."""
    fed = judged = 0
    opened: Counter[FindingType] = Counter()
    seen: set[tuple[str, int, str, float]] = set()
    for row, evidence in seconds:
        fed += 1
        judged += watch.baseline.is_ready
        for finding in watch.second(row, evidence):
            if finding.key not in seen:
                seen.add(finding.key)
                opened[finding.type] += 1
    return QuietRun(fed, judged, dict(opened))
