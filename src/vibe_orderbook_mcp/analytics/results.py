"""The common fields of all answers, and how fields are written.

Prices and sizes taken from the book are exact decimal strings; derived figures are rounded numbers with their unit
in the name. A figure that cannot be computed is null, never 0. Fields without
information (a flag that is not set, `detail` that was not requested) are left out of the JSON.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from vibe_orderbook_mcp.analytics.numbers import secs_text
from vibe_orderbook_mcp.model.instrument import MarketKind, Proof
from vibe_orderbook_mcp.model.listed import PriceSource
from vibe_orderbook_mcp.model.moment import Status
from vibe_orderbook_mcp.model.symbol import SymbolSpec


def _shortened(schema: dict[str, Any]) -> None:
    """Drop "title": "Best Bid" beside "best_bid", and say "number or null" in one line.

    Clients pass the schema to a model, which pays for its length. They also validate every answer with it, and that
    is slower with `anyOf` than with two types.
    """
    for field in schema.get("properties", {}).values():
        field.pop("title", None)
        kinds = field.get("anyOf", ())
        if kinds and all(kind.keys() == {"type"} for kind in kinds):
            del field["anyOf"]
            field["type"] = [kind["type"] for kind in kinds]


class Answer(BaseModel):
    """A part of an answer: immutable, without unknown fields, and never NaN or infinite."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, json_schema_extra=_shortened)


def left_out_if_none(description: str) -> Any:
    """A field that is absent from the JSON while it has its default."""
    return Field(default=None, exclude_if=_is_none, description=description)


def left_out_if_false(description: str) -> Any:
    return Field(default=False, exclude_if=_is_false, description=description)


def _is_none(value: object) -> bool:
    return value is None


def _is_false(value: object) -> bool:
    return value is False


class ProofAnswer(Answer):
    """How book and trades of this venue are known to be right."""

    book: Literal["update_ids", "checksum", "connection_sequence", "snapshots_only", "none"] = Field(
        description="What each change of the book is checked by."
    )
    book_levels: int | None = Field(description="Levels a side that this covers; null: all.")
    trades: Literal["consecutive_ids", "unproven"] = Field(description="What tells whether a trade is missing.")
    refill: bool = Field(description="Whether missing trades can be fetched by id.")


class Envelope(Answer):
    """The fields that every answer about one symbol starts with."""

    symbol: str = Field(description="The instrument's name, to ask with: BTCUSDT, kraken:BTC/USD.")
    venue: str | None = left_out_if_none("Who lists it: binance, kraken. Absent where an answer is about many.")
    market: MarketKind | None = left_out_if_none("spot, perpetual or future.")
    as_of: str = Field(
        description="Exchange time of the newest event used, ISO 8601 UTC; no later than the newest second of a window."
    )
    age_ms: int = Field(ge=0, description="Milliseconds since the last event of this symbol's book arrived.")
    status: Status = Field(description="live: book in sequence and fresh; stale: no event for too long; syncing.")
    summary: str = Field(description="The answer in one sentence, fit for quoting.")
    warnings: list[str] = Field(description="What limits this answer; empty when nothing does.")
    source: PriceSource | None = Field(
        default=None,  # set when the answer is sent
        description="Origin of the prices. live: the exchange; simulated: made up; recording: a replay of the past. "
        "null: the exchange has not answered yet.",
    )
    proof: ProofAnswer | None = left_out_if_none("How book and trades of this venue are known to be right.")


def venue_id(spec: SymbolSpec, update_id: int) -> int | None:
    """The id of an update; None where the venue gives none and updates are only counted here."""
    return None if spec.proof.book in ("checksum", "connection_sequence", "snapshots_only") else update_id


def about(spec: SymbolSpec) -> dict[str, Any]:
    """The fields that say which instrument an answer is about."""
    instrument, proof = spec.instrument, spec.proof
    return {
        "symbol": instrument.name,
        "venue": instrument.venue,
        "market": spec.market,
        "proof": _proof_answer(proof),
    }


@lru_cache(maxsize=64)  # one a venue
def _proof_answer(proof: Proof) -> ProofAnswer:
    return ProofAnswer(book=proof.book, book_levels=proof.book_levels, trades=proof.trades, refill=proof.refill)


class Window(Answer):
    """The span of exchange time of an answer, and how much of it was recorded."""

    start: str = Field(description="First instant of the window, ISO 8601 UTC.")
    end: str = Field(description="End of the window (exclusive), ISO 8601 UTC.")
    requested_secs: int = Field(description="Requested length, in seconds.")
    covered_secs: float = Field(description="Seconds recorded without a gap; rates divide by this.")
    coverage: float = Field(ge=0.0, le=1.0, description="covered_secs / requested_secs, 0 to 1.")
    samples: int = Field(
        description="One-second rows (volume profiles: aggregate trades) the figures were computed from."
    )


class WindowedEnvelope(Envelope):
    window: Window = Field(description="The window the figures describe.")


Windowed = TypeVar("Windowed", bound=WindowedEnvelope)


def of_window(answer: Windowed, asked_secs: int) -> Windowed:
    """Adds a sentence to an answer about only a part of the requested window; leaves others unchanged."""
    window = answer.window
    if window.requested_secs == asked_secs:
        return answer
    covered = window.covered_secs
    warning = f"Shortened: {secs_text(covered)} of the requested {asked_secs} s are recorded, since {window.start}."
    whole = window.model_copy(update={"requested_secs": asked_secs, "coverage": round(covered / asked_secs, 4)})
    return answer.model_copy(update={"window": whole, "warnings": [warning, *answer.warnings]})


def iso(millis: int) -> str:
    """Milliseconds since the epoch as ISO 8601 UTC: 1714564800123 -> "2024-05-01T12:00:00.123Z"."""
    seconds, rest = divmod(millis, 1000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:03d}Z"


def iso_second(second: int) -> str:
    """Whole seconds since the epoch as ISO 8601 UTC: 1714564800 -> "2024-05-01T12:00:00Z"."""
    return f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%SZ}"


def clock_text(second: int) -> str:
    """The time of day (UTC) of whole seconds since the epoch, inside a sentence: 1714564800 -> "12:00:00"."""
    return f"{datetime.fromtimestamp(second, UTC):%H:%M:%S}"
