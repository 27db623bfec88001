"""The command `verify`: what is printed, and the file of best levels."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from vibe_orderbook_mcp.errors import ConfigError
from vibe_orderbook_mcp.verify.instrument import Top
from vibe_orderbook_mcp.verify.recording import Found, verify_files


def verify_to_text(files: Sequence[Path], venue: str | None, tops: Path | None, *, as_json: bool) -> tuple[str, bool]:
    """What the command prints, and whether nothing failed. Raises ConfigError."""
    with ExitStack() as stack:
        sink = None
        if tops is not None:
            try:
                sink = stack.enter_context(tops.open("w", encoding="utf-8"))
            except OSError as error:
                raise ConfigError(f"{tops} cannot be written ({error.strerror}).") from error

        def write(top: Top) -> None:
            assert sink is not None  # noqa: S101  # for mypy: only then it is given
            sink.write(json.dumps(top._asdict(), ensure_ascii=False) + "\n")

        found = verify_files(files, venue, None if sink is None else write)
    if as_json:
        return json.dumps({"instruments": found.instruments}, ensure_ascii=False), found.is_sound
    return "\n".join(_text(report) for report in found.instruments) + "\n" + _verdict(found), found.is_sound


def _text(report: dict[str, Any]) -> str:
    """A few lines on one instrument."""
    lines = [
        f"{report['instrument']}: {report['frames']:,} book frames, {report['applied']:,} applied, "
        f"{report['gaps']} gaps, {report['repeated']} repeated, {report['unreadable']} unreadable, "
        f"{report['crossed']} crossed",
        f"  best prices: {report['checked']:,} compared, {report['failed']} differ",
        f"  trades: {report['trades']:,}, {report['trade_ids_missing']:,} ids missing",
    ]
    if report["levels"]:
        lines.append(
            f"  last book: {report['best_bid']} x {report['best_bid_size']} / "
            f"{report['best_ask']} x {report['best_ask_size']}, {report['levels']:,} levels"
        )
    elif report["frames"]:
        lines.append("  no book: no depth answer of the recording is continued by its last frames")
    lines += [f"  line {fault['line']}: {fault['what']}" for fault in report["faults"]]
    return "\n".join(lines)


def _verdict(found: Found) -> str:
    return "Nothing failed." if found.is_sound else "Something failed: see the lines above."
