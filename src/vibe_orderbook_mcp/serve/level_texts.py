"""Book levels as an answer carries them: exact decimals for programs, the same without trailing zeros for models.

A thousand levels a side take milliseconds to write. Callers who ask for the same book share the lists of one answer,
and what was written of a list is kept for them.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Final, NamedTuple

import msgspec

from vibe_orderbook_mcp.analytics.book.answers import L2Answer

SIDES_KEPT: Final = 16

_Levels = list[tuple[str, str]]


class _Written(NamedTuple):
    levels: _Levels  # what was written; kept, so that no other list gets its identity
    exact: list[list[str]]
    short: msgspec.Raw  # JSON


class LevelTexts:
    def __init__(self) -> None:
        self._known: OrderedDict[int, _Written] = OrderedDict()

    def written(self, answer: L2Answer) -> tuple[dict[str, Any], str]:
        """The answer's structured content, as exact as the exchange's own decimals, and its JSON text without their
        trailing zeros, for which a model would pay.
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
