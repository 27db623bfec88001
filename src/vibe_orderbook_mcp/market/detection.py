"""The detectors of one instrument from its first second, and their stored past. Pure.

A symbol's baseline survives a restart: its stored hours and the rows after them are read before the first new row is
processed. Until then new rows wait, so that all rows are processed in order. If history cannot be read, the detectors
begin without it and add it as soon as it can be read. Their counts until then do not overwrite it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final, NamedTuple

from vibe_orderbook_mcp.analytics.anomalies.watch import SymbolWatch
from vibe_orderbook_mcp.analytics.findings import Finding, from_stored, to_stored
from vibe_orderbook_mcp.model.rows import SecondRow, StoredEvent
from vibe_orderbook_mcp.model.symbol import SymbolSpec
from vibe_orderbook_mcp.seconds.wall_watch import LevelEvidence

WAITING_MOST: Final = 600  # rows; an archive that takes longer to open is not waited for
RETRY_SECS: Final = 60


class StoredPast(NamedTuple):
    """The stored past before `until`: its hours, and the first second whose row is needed with them."""

    until: int
    hours: Sequence[bytes]
    rows_from: int


class Unsaved:
    """Findings and counts of the detectors that wait to be stored. It outlasts a change of the grid."""

    __slots__ = ("_findings", "_hours", "_saving")

    def __init__(self) -> None:
        self._findings: dict[tuple[object, ...], Finding] = {}
        self._saving: dict[tuple[object, ...], Finding] = {}
        self._hours: dict[int, bytes] = {}

    def add(self, finding: Finding) -> bool:
        """Whether the finding is new: it is open, and no state of it waits here."""
        is_new = finding.is_open and finding.key not in self._findings
        self._findings[finding.key] = finding
        return is_new

    def add_hours(self, blocks: Sequence[tuple[int, bytes]]) -> None:
        """(hour since the epoch, bytes): the newest state of an hour counts."""
        self._hours.update(blocks)

    def begin_saving(self) -> list[StoredEvent]:
        """All waiting findings; `not_saved` returns them."""
        self._saving, self._findings = self._findings, {}
        return [to_stored(finding) for finding in self._saving.values()]

    def not_saved(self) -> None:
        """Storing them failed. A finding that changed meanwhile keeps its newer state."""
        self._findings = {**self._saving, **self._findings}

    @property
    def hours(self) -> list[tuple[int, bytes]]:
        """Waiting hours, oldest first."""
        return sorted(self._hours.items())

    def saved_hour(self, hour: int) -> None:
        del self._hours[hour]


class Detection:
    """Call `second` with every final row, in order, and `want_past` after it."""

    __slots__ = ("_is_begun", "_lacks_before", "_retry_from", "_unsaved", "_waiting", "_watch")

    def __init__(self, spec: SymbolSpec, unsaved: Unsaved) -> None:
        self._watch = SymbolWatch(spec)
        self._unsaved = unsaved
        self._waiting: deque[tuple[SecondRow, LevelEvidence | None]] = deque()
        self._is_begun = False
        self._lacks_before: int | None = None  # the stored past before this second is not read yet
        self._retry_from = 0

    @property
    def watch(self) -> SymbolWatch:
        """The detectors, for reading."""
        return self._watch

    @property
    def is_begun(self) -> bool:
        """Whether rows are processed on arrival."""
        return self._is_begun

    def second(self, row: SecondRow, evidence: LevelEvidence | None) -> list[Finding]:
        """Add the next second. Returns new findings."""
        if self._is_begun:
            return self._note(self._watch.second(row, evidence))
        self._waiting.append((row, evidence))
        return self.begin_without(self._waiting[0][0].second) if len(self._waiting) > WAITING_MOST else []

    def want_past(self, second: int) -> int | None:
        """The second before which the stored past is wanted now; None: it is known, or was requested recently."""
        if not self._is_begun:
            return self._waiting[0][0].second if self._waiting else second
        if self._lacks_before is None or second < self._retry_from:
            return None
        self._retry_from = second + RETRY_SECS
        return self._lacks_before

    def stored_past(self, hours: Sequence[bytes], until: int) -> StoredPast:
        """The usable ones of these stored hours, and the rows needed with them. Raises StorageCorrupt."""
        if self._is_begun:  # this process has counted the time since then itself, from rows
            hours = SymbolWatch.counted_before(hours, until)
        return StoredPast(until, hours, SymbolWatch.rows_from(hours, until))

    def restore(self, past: StoredPast, rows: Sequence[SecondRow], events: Sequence[StoredEvent]) -> list[Finding]:
        """Continue where the last process stopped: its hours, its rows and its findings, ascending.

        Returns new findings. Raises StorageCorrupt.
        """
        new: list[Finding] = []
        if self._is_begun:
            self._watch.take_in(past.hours, rows)
        else:
            new += self._note(self._watch.restore(past.hours, rows))
        # A finding that was open when the last process ended is closed at its last row.
        still_open = {finding.key for finding in self._watch.open}
        ended = []
        for finding in map(from_stored, events):
            if finding.is_open and finding.key not in still_open:
                end_ms = 1000 * (rows[-1].second + 1) if rows else finding.start_ms
                finding = finding.ended(max(end_ms, finding.start_ms))  # noqa: PLW2901  # the same one, ended
                self._unsaved.add(finding)
            ended.append(finding)
        self._watch.recall(ended, past.until)
        return new + self._begin(None)

    def begin_without(self, until: int | None) -> list[Finding]:
        """Process the waiting rows without the past. `until`: the past before it may be read later; None: never.

        Returns new findings.
        """
        return self._begin(until)

    def count_hours(self) -> None:
        """Queue the changed hours for storing, unless the stored ones may know more."""
        if self._lacks_before is None:
            self._unsaved.add_hours(self._watch.hour_blocks())

    def leave(self) -> None:
        """The instrument is dropped: queue the state of its detectors for storing, unless they never began."""
        if self._is_begun:
            self.count_hours()
        self._waiting.clear()

    def _begin(self, lacks_before: int | None) -> list[Finding]:
        self._lacks_before = lacks_before
        self._is_begun = True
        new: list[Finding] = []
        while self._waiting:
            new += self._note(self._watch.second(*self._waiting.popleft()))
        return new

    def _note(self, findings: Sequence[Finding]) -> list[Finding]:
        return [finding for finding in findings if self._unsaved.add(finding)]
