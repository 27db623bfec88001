"""Answers as a client gets them: structured content for programs, JSON text for models.

Book levels are exact decimals for programs, the same without trailing zeros for models. A thousand levels a side take
milliseconds to write. Callers with the same question share the lists of one answer, and the
text of a list is cached for them.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Final, NamedTuple

import msgspec

from vibe_orderbook_mcp.analytics.book.answers import L2Answer
from vibe_orderbook_mcp.analytics.results import Envelope
from vibe_orderbook_mcp.answers.health import ALL
from vibe_orderbook_mcp.model.listed import PriceSource

SIDES_KEPT: Final = 16

_Levels = list[tuple[str, str]]


class _Written(NamedTuple):
    levels: _Levels  # the list itself; kept, so that no other list gets its identity
    exact: list[list[str]]
    short: msgspec.Raw  # JSON


# The start of a summary if prices are not those of a live market, because summaries are quoted alone.
MADE_UP: dict[PriceSource | None, str] = {
    "simulated": "Simulated market: ",
    "recording": "Recording, not the present: ",
}


class AnswerTexts:
    def __init__(self) -> None:
        self._known: OrderedDict[int, _Written] = OrderedDict()

    def written(self, answer: Envelope, source: PriceSource | None) -> tuple[dict[str, Any], str]:
        """The answer's structured content and its JSON text. `source`: the origin of the prices."""
        answer = _said(answer, source)
        if isinstance(answer, L2Answer):
            return self._levels_written(answer)
        # Compact text: the SDK's own is indented, about twice the bytes, and a model pays for each.
        text = answer.model_dump_json()
        return msgspec.json.decode(text), text

    def _levels_written(self, answer: L2Answer) -> tuple[dict[str, Any], str]:
        """The answer's structured content with the exchange's exact decimals, and its JSON text without their trailing
        zeros, for which a model would pay.
        """
        bids, asks = self._of(answer.bids), self._of(answer.asks)
        head = answer.model_dump(mode="json", exclude={"bids", "asks"})
        body = {
            name: {"bids": bids.exact, "asks": asks.exact}.get(name, head.get(name))
            for name in type(answer).model_fields
            if name in head or name in ("bids", "asks")
        }
        return body, _text({**body, "bids": bids.short, "asks": asks.short})

    def _of(self, levels: _Levels) -> _Written:
        found = self._known.get(id(levels))
        if found is None:
            short = msgspec.json.encode([(_short(price), _short(size)) for price, size in levels])
            found = self._known[id(levels)] = _Written(levels, [list(level) for level in levels], msgspec.Raw(short))
            while len(self._known) > SIDES_KEPT:
                self._known.popitem(last=False)
        self._known.move_to_end(id(levels))
        return found


def _said(answer: Envelope, source: PriceSource | None) -> Envelope:
    """The summary with the origin of the prices, and the age of a book that has stopped."""
    summary = answer.summary
    if answer.status == "stale" and answer.symbol != ALL:
        summary = f"As of {answer.age_ms / 1000:.0f} s ago: {summary}"
    return answer.model_copy(update={"source": source, "summary": MADE_UP.get(source, "") + summary})


def short_text(body: dict[str, Any]) -> str:
    """JSON of an answer's structured content; levels without trailing zeros."""
    sides: dict[str, Any] = {
        side: [[_short(price), _short(size)] for price, size in body[side]] for side in ("bids", "asks") if side in body
    }
    return _text({**body, **sides})


def _text(body: dict[str, Any]) -> str:
    horizons = {name: _short(body[name]) for name in ("bid_horizon", "ask_horizon") if name in body}
    return msgspec.json.encode({**body, **horizons}).decode()


def _short(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text
