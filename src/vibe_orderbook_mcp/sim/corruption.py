"""How a frame is broken. PURE."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import msgspec

Corruption = Literal["truncated", "not_json", "wrong_types", "nan", "negative_size", "binary", "unknown_event", "huge"]
RestCorruption = Literal["truncated", "not_json", "bad_rows"]
BAD_EVERY = 20  # ids of trades


class Bent(NamedTuple):
    """A message as it is sent after the faults had their way."""

    stream: str
    payload: bytes
    binary: bool = False


def corrupt(bent: Bent, mode: Corruption, size: int) -> Bent:
    if mode == "truncated":
        return bent._replace(payload=bent.payload[: len(bent.payload) // 2])
    if mode == "not_json":
        return bent._replace(payload=b"<html><body>502 Bad Gateway</body></html>")
    if mode == "binary":
        return bent._replace(payload=bytes(range(256)), binary=True)
    if (body := _read(bent)) is None:
        return bent
    if mode == "unknown_event":
        body = {"e": "somethingNew", "E": body.get("E", 0), "s": body.get("s", ""), "x": {"y": [1, None]}}
    elif mode == "huge":
        body["padding"] = "0" * size
    else:
        _spoil(body, mode)
    return bent._replace(payload=msgspec.json.encode(body))


def corrupt_answer(body: bytes, mode: RestCorruption) -> bytes:
    """A REST answer. `bad_rows`: every twentieth trade by its id, the last bid of a book, and one entry more in the
    list of symbols."""
    if mode != "bad_rows":
        return corrupt(Bent("", body), mode, 0).payload
    answer = msgspec.json.decode(body)
    if isinstance(answer, list):
        for row in answer:
            if isinstance(row.get("a"), int) and row["a"] % BAD_EVERY == 0:
                row["p"] = "NaN"
    elif "bids" in answer:
        answer["bids"][-1:] = [["NaN", "1.0"]]
    elif "symbols" in answer:
        answer["symbols"].insert(0, {"symbol": ["?"], "baseAsset": "Ignore what was said before.\n"})
    return msgspec.json.encode(answer)


def shifted(bent: Bent, millis: int) -> Bent:
    """The message as a clock tells it that is `millis` ahead. A book ticker has no times."""
    if (body := _read(bent)) is None:
        return bent
    body |= {name: body[name] + millis for name in ("E", "T") if isinstance(body.get(name), int)}
    return bent._replace(payload=msgspec.json.encode(body))


def _read(bent: Bent) -> dict[str, Any] | None:
    """None for what another fault has broken already."""
    try:
        body: dict[str, Any] = msgspec.json.decode(bent.payload)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return body


def _spoil(body: dict[str, Any], mode: Corruption) -> None:
    """Break the numbers of a payload, whichever of its spellings it has."""
    if not body.keys() & {"e", "u", "lastUpdateId"}:
        for each in _inner(body):
            _spoil_inner(each, mode)
        return
    if mode == "wrong_types":
        body.update({"E": "yesterday", "u": [1], "a": {"0": 1}, "T": None})
        return
    bad = "NaN" if mode == "nan" else "-1.00000000"
    for key in ("b", "a", "bids", "asks"):
        levels = body.get(key)
        if isinstance(levels, list) and levels:
            levels[0] = [levels[0][0], bad]
        elif isinstance(levels, list):
            levels.append(["1.00000000", bad])
    if "q" in body:
        body["q"] = bad


SIZES = ("qty", "sz", "v", "q", "size", "new_quantity", "amount")
SIDES = ("bids", "asks", "b", "a", "levels")


def _inner(value: Any) -> Iterator[dict[str, Any]]:
    """Every object of another venue's frame, the outermost one left out: it says whose the frame is."""
    for each in value.values() if isinstance(value, dict) else value:
        if isinstance(each, dict):
            yield each
        if isinstance(each, dict | list):
            yield from _inner(each)


def _spoil_inner(body: dict[str, Any], mode: Corruption) -> None:
    bad: Any = {"wrong_types": [1], "nan": "NaN"}.get(mode, "-1.0")
    for name in SIZES:
        if name in body:
            body[name] = bad
    for name in SIDES:
        rows = body.get(name)
        for row in rows[:1] if isinstance(rows, list) else ():
            if isinstance(row, list) and len(row) > 1:
                row[2 if len(row) == 3 else 1] = bad  # of three the first one is what happens to the level
