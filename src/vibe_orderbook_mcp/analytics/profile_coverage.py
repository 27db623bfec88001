"""How much of a window's trades is held. Trade ids are consecutive, so this is counted, not estimated."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from vibe_orderbook_mcp.analytics.numbers import ratio, readable
from vibe_orderbook_mcp.analytics.results import Window, iso, iso_second
from vibe_orderbook_mcp.analytics.windows import MIN_COVERAGE, Quality, Span, quality
from vibe_orderbook_mcp.errors import Refusal

LOW_SAMPLE_TRADES = 300
HOUR_MS = 3_600_000
FIRST_TRADES_SECS = 60.0


@dataclass(frozen=True, slots=True)
class Backfill:
    """Older trades that are being fetched: back to when, how many are left, and how fast it goes (if known)."""

    reaches_ms: int
    ids_left: int
    ids_per_sec: float | None = None

    @property
    def eta_secs(self) -> float | None:
        return ratio(self.ids_left, self.ids_per_sec) if self.ids_per_sec else None


@dataclass(frozen=True, slots=True)
class TapeCoverage:
    """The trades of one window by aggregate id.

    `held` and `missing` count ids from `accounted_since_ms` on (None: the whole window); before that it is not known
    how many there are. From `complete_since_ms` to the window's end nothing is missing; None: not even the newest.
    """

    held: int
    missing: int
    complete_since_ms: int | None
    accounted_since_ms: int | None = None
    backfill: Backfill | None = None

    def share(self, span: Span) -> float:
        """Coverage of the window, 0 to 1: the part of its time that is accounted for, times the part held there."""
        if self.complete_since_ms is not None and self.complete_since_ms <= span.start * 1000:
            return 1.0
        counted = self.held + self.missing
        ids = self.held / counted if counted else float(self.complete_since_ms is not None)
        return ids * self._accounted(span)

    def _accounted(self, span: Span) -> float:
        if self.accounted_since_ms is None or span.secs <= 0:
            return 1.0
        return min(1.0, max(0.0, (span.end * 1000 - self.accounted_since_ms) / (span.secs * 1000)))


def check_tape(symbol: str, span: Span, tape: TapeCoverage) -> float:
    """The window's coverage, or a `Refusal` when not one of its trades is held but some are known to be missing.

    A profile of a part is exact for that part, and the answer says how large it is: one trade is answered.
    """
    share = tape.share(span)
    if tape.held > 0 or share >= MIN_COVERAGE:
        return share
    raise too_little_held(symbol, span, tape)


def too_little_held(symbol: str, span: Span, tape: TapeCoverage) -> Refusal:
    """With what can be had now, and when to come back."""
    share = tape.share(span)
    hint = _progress(tape, span) or "The server records trades while it runs."
    return Refusal(
        "insufficient_historical_data",
        f"{symbol}: {percent(share)} % of the {readable(span.secs / 3600)} h asked for is covered by trades.",
        hint + answerable(tape, span),
        retry_after_secs=_retry_secs(tape, span, share),
    )


def answerable(tape: TapeCoverage, span: Span) -> str:
    """The longest window of whole hours that is held whole, as a sentence to add to a hint; empty below an hour."""
    complete = tape.complete_since_ms
    whole_hours = 0 if complete is None else (span.end * 1000 - complete) // HOUR_MS
    return f" duration_hours={whole_hours} can be answered now." if whole_hours >= 1 else ""


def percent(share: float) -> str:
    """A coverage in a sentence: never rounded up to what it does not reach, and no 0 for a little."""
    return readable(100 * share, 2) if share < 0.1 else str(int(100 * share))


def nothing_traded(symbol: str, span: Span) -> Refusal:
    return Refusal(
        "insufficient_historical_data",
        f"{symbol}: nothing was traded in the {readable(span.secs / 3600)} h asked for.",
        "Ask for a longer duration_hours, up to 168.",
    )


def tape_quality(share: float) -> Quality:
    """What is answered is at least a part, however small."""
    return quality(max(share, MIN_COVERAGE), 1, 1)


def tape_window(span: Span, share: float, trades: int) -> Window:
    return Window(
        start=iso_second(span.start),
        end=iso_second(span.end),
        requested_secs=span.secs,
        covered_secs=round(share * span.secs, 3),
        # Rounded down: a window that lacks one trade is not whole.
        coverage=int(share * 10_000) / 10_000,
        samples=trades,
    )


def tape_warnings(span: Span, tape: TapeCoverage, share: float, trades: int) -> list[str]:
    out = []
    if share < 1.0:
        since = "" if tape.complete_since_ms is None else f"; nothing is missing since {iso(tape.complete_since_ms)}"
        out.append(
            f"{min(99.99, 100 * share):.4g} % of the window is covered by trades that are held ({tape.missing:,} known"
            f" to be missing{since}): volumes are of what is held."
        )
        if progress := _progress(tape, span):
            out.append(progress)
    if trades < LOW_SAMPLE_TRADES:
        out.append(f"Only {trades} trades: fewer than {LOW_SAMPLE_TRADES} make no dependable profile.")
    return out


def _progress(tape: TapeCoverage, span: Span) -> str | None:
    if tape.share(span) >= 1.0 or tape.backfill is None:
        return None
    eta = tape.backfill.eta_secs
    when = "" if eta is None else f", done in about {_duration(eta)}"
    text = f"Older trades are being fetched ({tape.backfill.ids_left:,} to go{when})"
    if tape.backfill.reaches_ms > span.start * 1000:
        return f"{text}, back to {iso(tape.backfill.reaches_ms)} only."
    return f"{text}."


def _retry_secs(tape: TapeCoverage, span: Span, share: float) -> float:
    """Until enough time has passed, or the back-fill is through, where it reaches far enough."""
    wait = (MIN_COVERAGE - share) * span.secs
    if tape.held == 0:
        wait = min(wait, FIRST_TRADES_SECS)  # one trade is answered
    fetched = tape.backfill
    halfway_ms = (span.start + span.end) * 500
    if fetched is not None and fetched.reaches_ms <= halfway_ms and fetched.eta_secs is not None:
        wait = min(wait, fetched.eta_secs)
    return float(max(1, ceil(wait)))


def _duration(secs: float) -> str:
    if secs < 90:
        return f"{max(1, ceil(secs))} s"
    return f"{ceil(secs / 60)} min" if secs < 5400 else f"{secs / 3600:.1f} h"
