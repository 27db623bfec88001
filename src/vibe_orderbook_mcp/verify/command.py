"""The command `verify`: what is printed, and the file of best levels."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from vibe_orderbook_mcp.model.errors import ConfigError
from vibe_orderbook_mcp.process.output_file import whole_output
from vibe_orderbook_mcp.verify.book_check import Top
from vibe_orderbook_mcp.verify.recording import Found, verify_files


def verify_to_text(files: Sequence[Path], venue: str | None, tops: Path | None, *, as_json: bool) -> tuple[str, bool]:
    """What the command prints, and whether nothing failed. Raises ConfigError."""
    with ExitStack() as stack:
        sink = None
        if tops is not None:
            if any(tops.resolve() == path.resolve() for path in files):
                raise ConfigError(f"{tops} is one of the recordings: --tops needs a file of its own.")
            sink = stack.enter_context(whole_output(tops, force=True))

        def write(top: Top) -> None:
            assert sink is not None  # noqa: S101  # for mypy: only then it is given
            sink.write(json.dumps(top._asdict(), ensure_ascii=False).encode() + b"\n")

        found = verify_files(files, venue, None if sink is None else write)
    if as_json:
        return json.dumps({"instruments": found.instruments}, ensure_ascii=False), found.is_sound
    return "\n".join(_text(report) for report in found.instruments) + "\n" + _verdict(found), found.is_sound


# How a book was rebuilt -> what that says of it.
_PROOFS = {
    "update_ids": "proved by its update ids",
    "checksum": "proved by its checksums",
    "connection_sequence": "proved by the counter of its connection",
    "snapshots_only": "whole in each frame; nothing proves that no frame is missing",
    "none": "not proved by anything that the venue sends",
}


# What a verdict has to add, by what was verified.
_LIMITS = {
    "chain": "Of {} the ids alone were checked.",
    "snapshots": "Nothing proves that no frame of {} is missing.",
    "unproved": "Nothing that the venue sends proves the books of {}.",
}


def _text(report: dict[str, Any]) -> str:
    """A few lines on one book and its trades."""
    proof = report["proof"]
    covered = "" if proof["book_levels"] is None else f" (the best {proof['book_levels']} levels)"
    lines = [
        f"{report['instrument']}: {report['frames']:,} book frames, {report['applied']:,} applied, "
        f"{report['gaps']} gaps, {report['repeated']} repeated, {report['unreadable']} unreadable, "
        f"{report['crossed']} crossed",
        f"  checksums and best prices of the same id: {report['checked']:,} compared, {report['failed']} differ",
    ]
    if report["likely_compared"]:
        lines.append(
            f"  prices without an id of the book: {report['likely_agreed']:,} of {report['likely_compared']:,} agree, "
            "which proves nothing"
        )
    missing = report["trade_ids_missing"]
    said = "whether any is missing cannot be known" if missing is None else f"{missing:,} ids missing"
    lines.append(f"  trades: {report['trades']:,}, {said}")
    if report["levels"]:
        lines.append(
            f"  last book, {_PROOFS[proof['book']]}{covered}: {_level(report, 'bid')} / {_level(report, 'ask')}, "
            f"{report['levels']:,} levels"
        )
    elif report["verified"] == "chain":
        lines.append("  no book: no frame continues a whole book of the recording, so the ids alone were checked")
    elif report["verified"] == "nothing":
        lines.append("  nothing could be verified: no frame continues a whole book, and no id follows another")
    else:
        lines.append("  no book at the end: it is empty, or its last frames continue no whole book of the recording")
    lines += [f"  line {fault['line']}: {fault['what']}" for fault in report["faults"]]
    return "\n".join(lines)


def _level(report: dict[str, Any], side: str) -> str:
    price = report[f"best_{side}"]
    return f"no {side}" if price is None else f"{price} x {report[f'best_{side}_size']}"


def _verdict(found: Found) -> str:
    said = []
    if empty := _names(found, "nothing"):
        said.append(f"Nothing could be verified of {empty}.")
    if any(report["faults"] for report in found.instruments) and not found.is_sound:
        said.append("Something failed: see the lines above.")
    if found.is_sound:
        said.append("Nothing failed.")
    for verified, sentence in _LIMITS.items():
        if names := _names(found, verified):
            said.append(sentence.format(names))
    return " ".join(said)


def _names(found: Found, verified: str) -> str:
    return ", ".join(report["instrument"] for report in found.instruments if report["verified"] == verified)
