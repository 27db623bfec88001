"""One symbol, watched: its baseline and all detectors, fed one row a second."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from vibe_orderbook_mcp.analytics.baseline import SIDE_MINUTES_NEEDED, Baseline
from vibe_orderbook_mcp.analytics.detectors.absorbed import Absorptions
from vibe_orderbook_mcp.analytics.detectors.bursts import UpdateBursts
from vibe_orderbook_mcp.analytics.detectors.crash import CrashWatch, thinner_side
from vibe_orderbook_mcp.analytics.detectors.fleeting import FleetingCount, FleetingWalls
from vibe_orderbook_mcp.analytics.figures import Amounts, Sample
from vibe_orderbook_mcp.analytics.findings import TYPES, Finding, FindingType
from vibe_orderbook_mcp.analytics.hours import decode, encode
from vibe_orderbook_mcp.analytics.iceberg import Icebergs
from vibe_orderbook_mcp.analytics.measures import Measures, Measuring
from vibe_orderbook_mcp.analytics.normal import Normal
from vibe_orderbook_mcp.analytics.row_cost import round_trip_bps
from vibe_orderbook_mcp.analytics.tails import VALUES_NEEDED
from vibe_orderbook_mcp.core.events import Side
from vibe_orderbook_mcp.core.evidence import LevelEvidence
from vibe_orderbook_mcp.core.rows import RowFlag, SecondRow
from vibe_orderbook_mcp.core.symbol import SymbolSpec

ROWS_KEPT: Final = 310  # the longest window of a tool, and a little
RECENT_MOST: Final = 200
MIN_COVERED_MS: Final = 950
CLASS_AMOUNT: Final = 10_000.0  # of the quote asset, there and back: what a market's class is told from
BAND_25, BAND_50 = 2, 3
UNSOUND: Final = int(  # an operation on an enum takes ten times as long as one on its number
    RowFlag.GAP | RowFlag.RESYNC | RowFlag.CROSSED | RowFlag.ONE_SIDED | RowFlag.DISCONNECTED | RowFlag.PARTIAL
)


def sample_of(row: SecondRow, before: SecondRow | None, tick: float, *, walls_watched: bool = False) -> Sample | None:
    """A second's figures, or None when a gap, a resync or a broken book makes it no sample of anything."""
    if row.flags & UNSOUND or row.covered_ms < MIN_COVERED_MS or row.mid is None:
        return None
    trades = row.buy_trades + row.sell_trades
    move = None
    if before is not None and before.second == row.second - 1 and before.mid is not None:
        move = round(abs(row.mid - before.mid) / tick, 6)
    return Sample(
        updates=float(row.ids),
        order_to_trade=row.ids / max(trades, 1),
        spread_bps=1e4 * row.spread_mean / row.mid if row.spread_mean else None,
        depth_50=_depth(row, BAND_50),
        depth_25=_depth(row, BAND_25),
        move_ticks=move,
        mid=row.mid,
        quote_volume=row.buy_quote + row.sell_quote,
        buy_volume=row.buy_volume,
        sell_volume=row.sell_volume,
        walls_watched=walls_watched,
        bids=_known(row.bid_band_quote, row.bid_truncated),
        asks=_known(row.ask_band_quote, row.ask_truncated),
        round_trip_bps=round_trip_bps(row, CLASS_AMOUNT),
    )


def _known(amounts: tuple[float, ...], truncated: int) -> Amounts:
    """A band that leaves the known book tells too little."""
    if not truncated:
        return amounts
    return tuple(None if truncated >> place & 1 else amount for place, amount in enumerate(amounts))


def _depth(row: SecondRow, band: int) -> float | None:
    found = thinner_side(row, band)
    return found[1] if found is not None and found[1] > 0.0 else None


def _with_cost(sample: Sample | None, measures: Measures) -> Sample | None:
    return None if sample is None else sample._replace(cost_bps=measures.cost_bps)


@dataclass(frozen=True, slots=True)
class NotRun:
    """A detector that cannot give a verdict now, and why."""

    detector: FindingType
    reason: str


class SymbolWatch:
    """Call `second` with every final row, in order."""

    def __init__(self, spec: SymbolSpec) -> None:
        self.spec = spec
        self.tick = float(spec.tick_size)
        self.baseline = Baseline(self.tick)
        self.rows: deque[SecondRow] = deque(maxlen=ROWS_KEPT)
        self.measures: deque[Measures] = deque(maxlen=ROWS_KEPT)  # one for each of `rows`
        self.recent: deque[Finding] = deque(maxlen=RECENT_MOST)  # ended ones, oldest first
        self._measuring = Measuring(self.tick)
        self._bursts = UpdateBursts()
        self._crash = CrashWatch(self.tick)
        self._fleeting = FleetingWalls()
        self._absorptions = Absorptions(self.tick)
        self._icebergs = Icebergs(spec.iceberg_parts)
        self._sample: Sample | None = None
        self._has_evidence = False

    @property
    def open(self) -> list[Finding]:
        """Findings that have not ended."""
        return [*self._alarms(), *self._fleeting.open, *self._icebergs.open, *self._absorptions.open]

    @property
    def normal(self) -> Normal:
        """What is usual, as health compares with it."""
        return self.baseline.normal(self._measuring.prices.known_secs)

    @property
    def sample(self) -> Sample | None:
        """The newest second's figures; None when it says nothing."""
        return self._sample

    @property
    def variance_times(self) -> float | None:
        return self._crash.variance_times

    def fleeting(self, side: Side, since: int) -> FleetingCount | None:
        """Walls that vanished from the second `since` on. None while single levels are not watched."""
        return self._fleeting.count(side, since * 1000) if self._has_evidence else None

    def second(self, row: SecondRow, evidence: LevelEvidence | None = None) -> list[Finding]:
        """The next second. Returns findings that opened, changed severity or ended; each has a lasting `key`."""
        before = self.rows[-1] if self.rows else None
        if before is not None and row.second <= before.second:
            return []
        second, baseline = row.second, self.baseline
        self._has_evidence = evidence is not None and evidence.has_limits
        if evidence is not None:
            self._fleeting.add(second, evidence.walls, row.mid, baseline)
        sample = self._sample = self._measure(row, sample_of(row, before, self.tick, walls_watched=self._has_evidence))
        changed = [
            found
            for found in (
                self._bursts.second(second, sample, row.rows, baseline),
                self._crash.second(row, sample, baseline),
            )
            if found is not None
        ]
        if evidence is not None:
            changed += self._fleeting.second(second, baseline)
            changed += self._icebergs.second(second, evidence.chains, evidence.turnovers, baseline)
        changed += self._absorptions.second(second, self.rows, baseline)
        for finding in self._alarms():
            baseline.exclude(finding.start_ms // 1000, second)
        self.recent.extend(finding for finding in changed if not finding.is_open)
        baseline.observe(second, sample)
        return changed

    def not_run(self) -> list[NotRun]:
        """Which detectors can give no verdict, and why. Empty: all can."""
        out: list[NotRun] = []
        newest = self.rows[-1] if self.rows else None
        if newest is None or (newest.mid is None and not newest.flags & RowFlag.ONE_SIDED):
            return [NotRun(name, "no book in sequence") for name in TYPES]
        if not self.baseline.is_ready:
            wait = self.baseline.secs_until_ready
            reason = f"warming up: one hour of history is needed, about {max(1, round(wait / 60))} min to go"
            out += [NotRun("update_burst", reason), NotRun("crash_precursor", reason)]
        elif self._sample is not None and self._sample.depth_50 is None and self._sample.depth_25 is None:
            out.append(NotRun("crash_precursor", "the known book ends within 25 bps of mid"))
        if not self._has_evidence:
            out.append(NotRun("fleeting_cluster", "no walls can be told: fewer than 12 price groups within 5 % of mid"))
        elif not self.baseline.is_ready:
            out.insert(1, NotRun("fleeting_cluster", out[0].reason))
        elif (minutes := self.baseline.side_minutes // 2) < SIDE_MINUTES_NEEDED // 2:
            out.append(
                NotRun("fleeting_cluster", f"walls were watched for {minutes} of {SIDE_MINUTES_NEEDED // 2} minutes")
            )
        if not self.baseline.is_ready:
            out.append(NotRun("absorption", out[0].reason))
        elif self.baseline.alarm_turnover() is None:
            levels = self.baseline.count("kept_up")
            out.append(
                NotRun("absorption", f"{levels} of the {VALUES_NEEDED} levels that were kept up and a threshold needs")
            )
        return out

    def hour_blocks(self) -> list[tuple[int, bytes]]:
        """(hour since the epoch, bytes) of every hour that changed since the last call. Store all of them at once."""
        return [(block.hour, encode(block)) for block in self.baseline.take_blocks()]

    def restore(self, hours: Iterable[bytes], rows: Sequence[SecondRow]) -> list[Finding]:
        """Go on where a former process stopped: its stored hours, and rows from `restore_from` on, ascending.

        Returns what the detectors said of seconds that the hours do not count yet. An hour that cannot be read
        raises StorageCorrupt.
        """
        until = self.baseline.restore([decode(data) for data in hours])
        changed: list[Finding] = []
        for row in rows:
            if row.second > until:
                changed += self.second(row)
                continue
            before = self.rows[-1] if self.rows else None
            self.baseline.observe(row.second, self._measure(row, sample_of(row, before, self.tick)))
        return changed

    def take_in(self, hours: Iterable[bytes], rows: Sequence[SecondRow]) -> None:
        """What was stored of the time before the first second, read only now: what is usual is known from here on.

        What was judged meanwhile stays as it was. An hour that cannot be read raises StorageCorrupt.
        """
        older, measuring = Baseline(self.tick), Measuring(self.tick)
        older.restore([decode(data) for data in hours])
        before: SecondRow | None = None
        for row in rows:
            sample = sample_of(row, before, self.tick)
            measures = measuring.second(row, sample, older)
            older.observe(row.second, _with_cost(sample, measures))
            before = row
        self.baseline.precede(older)
        self._measuring.precede(measuring)

    def _measure(self, row: SecondRow, sample: Sample | None) -> Sample | None:
        """The row and its figures are the newest. Returns the sample with what could only be told beside the past."""
        measures = self._measuring.second(row, sample, self.baseline)
        self.rows.append(row)
        self.measures.append(measures)
        return _with_cost(sample, measures)

    def _alarms(self) -> list[Finding]:
        """Open findings whose seconds must not raise their own thresholds.

        Refilled levels and fleeting walls belong to a busy day: left out of what is usual, the most usual cluster
        would stay rare for ever.
        """
        return [found for found in (self._bursts.open, self._crash.open) if found is not None]
