"""The detectors of one symbol and their baseline, fed one row a second."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from vibe_orderbook_mcp.analytics.anomalies.absorbed import Absorptions
from vibe_orderbook_mcp.analytics.anomalies.bursts import UpdateBursts
from vibe_orderbook_mcp.analytics.anomalies.crash import CrashWatch, thinner_side
from vibe_orderbook_mcp.analytics.anomalies.fleeting import FleetingCount, FleetingWalls
from vibe_orderbook_mcp.analytics.anomalies.iceberg import Icebergs
from vibe_orderbook_mcp.analytics.anomalies.shock import MarketShocks
from vibe_orderbook_mcp.analytics.findings import TYPES, Finding, FindingType
from vibe_orderbook_mcp.analytics.usual.baseline import SIDE_MINUTES_NEEDED, Baseline, restore_from
from vibe_orderbook_mcp.analytics.usual.figures import Amounts, Sample
from vibe_orderbook_mcp.analytics.usual.hours import decode, encode
from vibe_orderbook_mcp.analytics.usual.measures import Measures, Measuring
from vibe_orderbook_mcp.analytics.usual.normal import Normal
from vibe_orderbook_mcp.analytics.usual.own_rate import OwnRates
from vibe_orderbook_mcp.analytics.usual.row_cost import round_trip_bps
from vibe_orderbook_mcp.analytics.usual.tails import VALUES_NEEDED
from vibe_orderbook_mcp.analytics.window_notes import LOST, clock
from vibe_orderbook_mcp.model.events import Side, TakerGroup
from vibe_orderbook_mcp.model.rows import BANDS_BPS, RowFlag, SecondRow
from vibe_orderbook_mcp.model.symbol import SymbolSpec
from vibe_orderbook_mcp.seconds.wall_watch import LevelEvidence

ROWS_KEPT: Final = 310  # the longest window of a tool, and a little
RECENT_MOST: Final = 200
MIN_COVERED_MS: Final = 950
CLASS_AMOUNT: Final = 10_000.0  # of the quote asset, round trip: the market's class follows from its cost
BAND_25, BAND_50 = 2, 3
UNSOUND: Final = int(  # an operation on an enum takes ten times as long as one on its number
    RowFlag.GAP | RowFlag.RESYNC | RowFlag.CROSSED | RowFlag.ONE_SIDED | RowFlag.DISCONNECTED | RowFlag.PARTIAL
)


def sample_of(row: SecondRow, before: SecondRow | None, tick: float, *, walls_watched: bool = False) -> Sample | None:
    """A second's figures, or None for a second with a gap, a resync or an invalid book."""
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
    """None for a band that reaches beyond the known book."""
    if not truncated:
        return amounts
    return tuple(None if truncated >> place & 1 else amount for place, amount in enumerate(amounts))


def _depth(row: SecondRow, band: int) -> float | None:
    found = thinner_side(row, band)
    return found[1] if found is not None and found[1] > 0.0 else None


def _with_costs(row: SecondRow, sample: Sample | None, baseline: Baseline) -> Sample | None:
    return None if sample is None else sample._replace(costs_bps=baseline.costs_bps(row))


@dataclass(frozen=True, slots=True)
class NotRun:
    """A detector that gives no verdict now, and why."""

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
        self._rates = OwnRates()
        self._shocks = MarketShocks()
        self._bursts = UpdateBursts()
        self._crash = CrashWatch()
        self._fleeting = FleetingWalls()
        self._absorptions = Absorptions(self.tick)
        self._icebergs = Icebergs(spec.iceberg_parts)
        self._sample: Sample | None = None
        self._has_evidence = False

    @property
    def open(self) -> list[Finding]:
        """Findings that have not ended."""
        shocks = [] if self._shocks.open is None else [self._shocks.open]
        return [*shocks, *self._alarms(), *self._fleeting.open, *self._icebergs.open, *self._absorptions.open]

    @property
    def normal(self) -> Normal:
        """The usual values that health compares with."""
        return self.baseline.normal(self._measuring.prices.known_secs)

    @property
    def sample(self) -> Sample | None:
        """The newest second's figures; None if it has none."""
        return self._sample

    @property
    def variance_times(self) -> float | None:
        return self._crash.variance_times

    def fleeting(self, side: Side, since: int) -> FleetingCount | None:
        """Walls that vanished in the second `since` or later. None while single levels are not tracked."""
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
        sample = self._sample = self._measure(
            row,
            sample_of(row, before, self.tick, walls_watched=self._has_evidence),
            None if evidence is None else evidence.sweeps,
        )
        changed = [
            found
            for found in (
                self._bursts.second(second, sample, row.rows, baseline),
                self._judge(row),
                self._crash.second(row, sample, self.measures[-1], baseline),
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
        """Detectors that give no verdict, and why. Empty: all give one.

        Seconds in which this server had lost the book are left out. The caller knows whether it is lost now.
        """
        if not any(row.mid is not None or row.flags & RowFlag.ONE_SIDED for row in self.rows):
            return [NotRun(name, "no book in sequence") for name in TYPES]
        newest = self.rows[-1]
        if newest.flags & RowFlag.CROSSED and not newest.flags & LOST:
            return [NotRun(name, f"the exchange's book was crossed at {clock(newest.second)}") for name in TYPES]
        baseline, warming = self.baseline, None
        if not baseline.is_ready:
            wait = max(1, round(baseline.secs_until_ready / 60))
            warming = f"warming up: one hour of history is needed, about {wait} min to go"
        reasons: dict[FindingType, str | None] = {
            "market_shock": warming or self._why_no_shock(),
            "update_burst": warming,
            "fleeting_cluster": self._why_no_fleeting() or warming,
            "crash_precursor": warming or self._why_no_depth(),
            "absorption": warming or self._why_no_absorption(),
        }
        return [NotRun(name, reason) for name, reason in reasons.items() if reason is not None]

    def _why_no_shock(self) -> str | None:
        newest = self.measures[-1]
        if self._measuring.prices.variance is None:
            return "mid was known for less than 15 minutes of the last hour"
        if newest.volume_times is None and newest.sweep_share is None:
            if self.baseline.mean_quote is not None:
                return "some trades of the last minute are missing"
            return "the usual volume is not known yet"
        return None

    def _why_no_depth(self) -> str | None:
        """An empty side needs no baseline; every other rule needs depth within the own band."""
        band = self.baseline.band
        if band is None or self.baseline.median("depth_own") is None:
            return "the usual depth within the symbol's own band is not known yet"
        if self._sample is not None and self._sample.bids and self._sample.thin(BANDS_BPS.index(band.bps)) is None:
            return f"the known book ends within {band.bps} bps of mid, the symbol's own band"
        return None

    def _why_no_fleeting(self) -> str | None:
        if not self._has_evidence:
            return "walls cannot be measured: fewer than 12 price groups within 5 % of mid"
        minutes = self.baseline.side_minutes // 2
        if self.baseline.is_ready and minutes < SIDE_MINUTES_NEEDED // 2:
            return f"walls were recorded for {minutes} of the {SIDE_MINUTES_NEEDED // 2} minutes needed"
        return None

    def _why_no_absorption(self) -> str | None:
        if self.baseline.alarm_turnover() is not None:
            return None
        levels = self.baseline.count("kept_up")
        return f"{levels} of the {VALUES_NEEDED} refilled levels that a threshold needs"

    def hour_blocks(self) -> list[tuple[int, bytes]]:
        """(hour since the epoch, bytes) of every hour that changed since the last call. Store all of them at once."""
        return [(block.hour, encode(block)) for block in self.baseline.take_blocks()]

    @staticmethod
    def counted_before(hours: Iterable[bytes], second: int) -> list[bytes]:
        """The stored hours that count only seconds before this one. Raises StorageCorrupt."""
        return [data for data in hours if decode(data).until < second]

    @staticmethod
    def rows_from(hours: Iterable[bytes], second: int) -> int:
        """The first second whose row `restore` needs in addition to these stored hours. Raises StorageCorrupt."""
        return restore_from([decode(data) for data in hours], second)

    def restore(self, hours: Iterable[bytes], rows: Sequence[SecondRow]) -> list[Finding]:
        """Continue where the last process stopped: its stored hours, and the rows since `rows_from`, ascending.

        Returns the findings of seconds that the hours do not count yet. An hour that cannot be read raises
        StorageCorrupt.
        """
        until = self.baseline.restore([decode(data) for data in hours])
        changed: list[Finding] = []
        for row in rows:
            if row.second > until:
                changed += self.second(row)
                continue
            before = self.rows[-1] if self.rows else None
            sample = self._measure(row, sample_of(row, before, self.tick))
            self._judge(row)
            self.baseline.observe(row.second, sample)
        return changed

    def recall(self, findings: Iterable[Finding], second: int) -> None:
        """Add findings from before the first second, read from history: a window that one of them touches is not
        quiet."""
        known = {finding.key for finding in (*self.recent, *self.open)}
        earlier = [
            finding
            for finding in findings
            if finding.end_ms is not None and finding.end_ms > (second - ROWS_KEPT) * 1000 and finding.key not in known
        ]
        self.recent = deque([*earlier, *self.recent], maxlen=RECENT_MOST)

    def take_in(self, hours: Iterable[bytes], rows: Sequence[SecondRow]) -> None:
        """Add stored history from before the first second. Usual values are known from now on.

        Earlier verdicts stay as they are. An hour that cannot be read raises StorageCorrupt.
        """
        older, measuring = Baseline(self.tick), Measuring(self.tick)
        older.restore([decode(data) for data in hours])
        before: SecondRow | None = None
        for row in rows:
            sample = _with_costs(row, sample_of(row, before, self.tick), older)
            measuring.second(row, sample, older)
            older.observe(row.second, sample)
            before = row
        self.baseline.precede(older)
        self._measuring.precede(measuring)

    def _measure(
        self, row: SecondRow, sample: Sample | None, sweeps: Sequence[TakerGroup] | None = None
    ) -> Sample | None:
        """Make the row the newest. Returns its sample, completed with the figures that need the rows before it."""
        sample = _with_costs(row, sample, self.baseline)
        self.rows.append(row)
        self.measures.append(self._measuring.second(row, sample, self.baseline, sweeps))
        return sample

    def _judge(self, row: SecondRow) -> Finding | None:
        """The level of each of the newest figures, and whether they are a shock."""
        measures, surge = self.measures[-1], self._bursts.surge
        reached = self._rates.second(row.second, measures.values(), self.baseline)
        self.measures[-1] = measures.judged(reached, surge)
        return self._shocks.second(row, measures, reached, self.baseline.usual_depth, surge)

    def _alarms(self) -> list[Finding]:
        """Open findings whose seconds must not raise their own thresholds.

        Refilled levels and fleeting walls belong to a busy day: without them in the baseline, the most usual cluster
        would stay rare for ever.
        """
        return [found for found in (self._bursts.open, self._crash.open) if found is not None]
