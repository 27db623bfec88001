"""How many of a window's trades are stored. Trade ids are consecutive, so this is counted, not estimated."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import NamedTuple

from vibe_orderbook_mcp.analytics.numbers import readable, span_text
from vibe_orderbook_mcp.analytics.profile.bins import PriceHistogram
from vibe_orderbook_mcp.analytics.results import Window, iso_second
from vibe_orderbook_mcp.analytics.windows import MIN_COVERAGE, Quality, Span, quality
from vibe_orderbook_mcp.model.errors import Refusal
from vibe_orderbook_mcp.model.tape import Backfill

LOW_SAMPLE_TRADES = 300
HOUR_MS = 3_600_000
LEAST_SECS = 300  # below this a profile is chance: it says so, and there are no zones
FIRST_TRADES_SECS = 60.0
RECENT_SECS = 10  # up to this age a trade's price is the present price
FETCH_SECS = 3.0  # until the first page of older trades has arrived


@dataclass(frozen=True, slots=True)
class TapeCoverage:
    """The trades of one window by aggregate id.

    `held` (stored) and `missing` count the ids since `accounted_since_ms` (None: the whole window); the number before
    that is unknown. From `complete_since_ms` to the window's end nothing is missing; None: even the newest is missing.
    """

    held: int
    missing: int
    complete_since_ms: int | None
    accounted_since_ms: int | None = None
    backfill: Backfill | None = None
    missing_before: int = 0  # older trades are left out because this many among them are missing
    never_traded: bool = False  # the exchange has no trade of the symbol
    breaks: int = 0  # interruptions of the stream, where ids do not say how many trades are missing
    unknown_ms: int = 0  # how much of the window's time that is
    is_new: bool = False  # older trades will be fetched, and none has arrived yet

    def answered(self, span: Span) -> Span:
        """The part of the window that can be answered: since the oldest counted trade."""
        if self.accounted_since_ms is None:
            return span
        return Span(min(max(span.start, self.accounted_since_ms // 1000), span.end), span.end)

    def held_share(self, span: Span) -> float:
        """Share of the trades of `answered` that is stored, 0 to 1."""
        if self.complete_since_ms is not None and self.complete_since_ms <= self.answered(span).start * 1000:
            return 1.0
        counted = self.held + self.missing
        share = self.held / counted if counted else float(self.complete_since_ms is not None)
        part_ms = self.answered(span).secs * 1000
        return share * max(0.0, 1.0 - self.unknown_ms / part_ms) if self.unknown_ms and part_ms else share

    def share(self, span: Span) -> float:
        """Coverage of the window, 0 to 1: the share of its time that is counted, times the stored share there."""
        return self.held_share(span) * self._accounted(span)

    def is_filling(self, span: Span) -> bool:
        """Whether older trades of the window are being fetched, or will be."""
        start_ms = self.answered(span).start * 1000
        return self.share(span) < 1.0 and (
            self.is_new or (self.backfill is not None and self.backfill.reaches_ms < start_ms)
        )

    def more_in_secs(self, span: Span) -> float | None:
        """Seconds until five minutes of trades are stored; None if they are, or if nothing is fetched."""
        part = self.answered(span)
        if part == span or part.secs >= LEAST_SECS or not self.is_filling(span):
            return None
        if self.backfill is None or (eta := self.backfill.eta_secs) is None:
            return FETCH_SECS
        lacking_ms = 1000 * (LEAST_SECS - part.secs)
        return max(1.0, eta * min(1.0, lacking_ms / (part.start * 1000 - self.backfill.reaches_ms)))

    def _accounted(self, span: Span) -> float:
        if self.accounted_since_ms is None or span.secs <= 0:
            return 1.0
        return min(1.0, max(0.0, (span.end * 1000 - self.accounted_since_ms) / (span.secs * 1000)))


class TradedWindow(NamedTuple):
    """The trades of a window by price, and how many of them are stored. `span` may end before the requested one."""

    span: Span
    histogram: PriceHistogram
    tape: TapeCoverage


def check_tape(symbol: str, span: Span, tape: TapeCoverage) -> float:
    """The window's coverage, or a `Refusal` when none of its trades is stored but some are known to be missing.

    A profile of a part is exact for that part, and the answer says how large it is: one trade is enough.
    """
    share = tape.share(span)
    if tape.never_traded:
        raise not_traded_yet(symbol)
    if tape.held > 0 or share >= MIN_COVERAGE:
        return share
    raise too_little_held(symbol, span, tape)


def not_traded_yet(symbol: str) -> Refusal:
    return Refusal(
        "insufficient_historical_data",
        f"{symbol} has never traded: the exchange has no trade of it.",
        "orderbook_l1 and orderbook_l2 show what is quoted. A profile is available after the first trade.",
    )


def too_little_held(symbol: str, span: Span, tape: TapeCoverage) -> Refusal:
    """The refusal, with the longest available window and the time to wait."""
    share = tape.share(span)
    if tape.held == 0 and tape.missing == 0:
        what = f"no trade of the requested {span_text(span.secs)} is stored yet."
    else:
        what = f"trades cover {percent(share)} % of the requested {span_text(span.secs)}."
    hint = _progress(tape, span) or (
        "Older trades are about to be fetched." if tape.is_new else "An answer is possible after the next trade."
    )
    return Refusal(
        "insufficient_historical_data",
        f"{symbol}: {what}",
        hint + answerable(tape, span),
        retry_after_secs=_retry_secs(tape, span, share),
    )


def answerable(tape: TapeCoverage, span: Span) -> str:
    """The longest complete window of whole hours, as a sentence to add to a hint; empty below an hour."""
    complete = tape.complete_since_ms
    whole_hours = 0 if complete is None else (span.end * 1000 - complete) // HOUR_MS
    return f" duration_hours={whole_hours} can be answered now." if whole_hours >= 1 else ""


def percent(share: float) -> str:
    """A coverage in a sentence: never rounded up, and never 0 for a small share."""
    return readable(100 * share, 2) if share < 0.1 else str(int(100 * share))


def ago(age_secs: float | None) -> str:
    """The age of a trade, after its price in a sentence: " (43 s ago)"; empty up to 10 s."""
    return "" if age_secs is None or age_secs <= RECENT_SECS else f" ({span_text(int(age_secs))} ago)"


def short_text(span: Span, tape: TapeCoverage) -> str:
    """The start of a sentence about less than five minutes of trades; empty for more."""
    part = tape.answered(span)
    if part == span or part.secs >= LEAST_SECS:
        return ""
    fetching = ", older trades are being fetched" if tape.is_filling(span) else ""
    return f"a profile of no more than {span_text(part.secs)}{fetching}; "


def too_early(symbol: str, span: Span, tape: TapeCoverage) -> Refusal | None:
    """A refusal to wait for more trades; None if waiting brings no more."""
    if (secs := tape.more_in_secs(span)) is None:
        return None
    return Refusal(
        "insufficient_historical_data",
        f"{symbol}: only {span_text(tape.answered(span).secs)} of trades are stored.",
        "Older trades are being fetched.",
        retry_after_secs=secs,
    )


def window_text(span: Span, tape: TapeCoverage) -> str:
    """The time that an answer covers, as the start of a sentence."""
    part, held = tape.answered(span), tape.held_share(span)
    asked = span_text(span.secs)
    text = asked if part == span else f"last {span_text(part.secs)} of the requested {asked}"
    return text if held >= 1.0 else f"{text} ({percent(held)} % of its trades stored)"


def nothing_traded(symbol: str, span: Span) -> Refusal:
    return Refusal(
        "insufficient_historical_data",
        f"{symbol}: nothing was traded in the last {span_text(span.secs)}.",
        "Ask for a longer duration_hours, up to 168.",
    )


def tape_quality(share: float) -> Quality:
    """An answered window is at least partial, however small the share."""
    return quality(max(share, MIN_COVERAGE), 1, 1)


def tape_window(span: Span, tape: TapeCoverage, trades: int) -> Window:
    share = tape.share(span)
    return Window(
        start=iso_second(tape.answered(span).start),
        end=iso_second(span.end),
        requested_secs=span.secs,
        covered_secs=round(share * span.secs, 3),
        coverage=_rounded_down(share),
        samples=trades,
    )


def _rounded_down(share: float) -> float:
    """Down to four places, because a window without one of its trades is incomplete; below 0.001 to two digits."""
    scale = 10_000
    while 0.0 < share * scale < 10.0:
        scale *= 10
    return int(share * scale) / scale


def tape_warnings(span: Span, tape: TapeCoverage, trades: int) -> list[str]:
    out = []
    part = tape.answered(span)
    if part != span:
        out.append(
            f"Stored trades begin at {iso_second(part.start)}: they cover {span_text(part.secs)} of the requested "
            f"{span_text(span.secs)}."
        )
    if tape.missing_before:
        out.append(f"Older trades are left out: {tape.missing_before:,} among them are missing.")
    if tape.breaks:
        times = "once" if tape.breaks == 1 else f"{tape.breaks:,} times"
        out.append(
            f"The stream was interrupted {times}, {readable(tape.unknown_ms / 1000)} s together: how many trades are "
            "missing is unknown, and volumes are of the stored ones."
        )
    elif tape.held_share(span) < 1.0:
        since = tape.complete_since_ms
        whole = (
            ""
            if since is None or since >= span.end * 1000
            else f" None is missing since {iso_second(-(-since // 1000))}."
        )
        out.append(
            f"{tape.missing:,} of {_count(tape.held + tape.missing, 'trade')} are missing: volumes are of the "
            f"stored ones.{whole}"
        )
    if progress := _progress(tape, span):
        out.append(progress)
    elif tape.is_new and tape.share(span) < 1.0:
        out.append("Older trades are about to be fetched: ask again in a few seconds.")
    if trades < LOW_SAMPLE_TRADES:
        out.append(f"Only {_count(trades, 'trade')}: a dependable profile needs {LOW_SAMPLE_TRADES}.")
    return out


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def _progress(tape: TapeCoverage, span: Span) -> str | None:
    if tape.share(span) >= 1.0 or tape.backfill is None:
        return None
    eta = tape.backfill.eta_secs
    when = "" if eta is None else f", done in about {_duration(eta)}"
    text = f"Older trades are being fetched ({tape.backfill.ids_left:,} to go{when})"
    if tape.backfill.reaches_ms > span.start * 1000:
        return f"{text}, back to {iso_second(tape.backfill.reaches_ms // 1000)} only."
    return f"{text}."


def _retry_secs(tape: TapeCoverage, span: Span, share: float) -> float:
    """Until enough time has passed, or until the backfill is complete if it reaches far enough."""
    wait = (MIN_COVERAGE - share) * span.secs
    if tape.is_new:
        wait = min(wait, FETCH_SECS)
    elif tape.held == 0:
        wait = min(wait, FIRST_TRADES_SECS)  # one trade is enough for an answer
    fetched = tape.backfill
    halfway_ms = (span.start + span.end) * 500
    if fetched is not None and fetched.reaches_ms <= halfway_ms and fetched.eta_secs is not None:
        wait = min(wait, fetched.eta_secs)
    return float(max(1, ceil(wait)))


def _duration(secs: float) -> str:
    if secs < 90:
        return f"{max(1, ceil(secs))} s"
    return f"{ceil(secs / 60)} min" if secs < 5400 else f"{secs / 3600:.1f} h"
