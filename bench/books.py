"""Books on every message set: this project against the yardstick and the peers, one book and fifty in turn.

python -m bench.books [--no-peers] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.contenders import Contender, Frames, OwnBook, OwnRows, Touch, Yardstick, own_books
from bench.peers import peers
from bench.sets import MessageSet, recorded
from bench.synthetic import synthetic
from bench.timing import Timing, race

SYNTHETIC_MESSAGES = 4_000
BOOKS_IN_TURN = 50
TURN_MESSAGES = 60  # of each
QUIET_COUNTS = (1, 2, 12)  # level changes a message: fewest, median, most


def message_sets(notes: list[str]) -> Iterator[MessageSet]:
    yield synthetic(SYNTHETIC_MESSAGES)
    for symbol, tick, step in (("BTCUSDT", "0.01000000", "0.00001000"), ("ETHUSDT", "0.01000000", "0.00010000")):
        found = recorded(symbol, tick, step)
        if found is None:
            notes.append(f"no recording of {symbol}: point VIBE_TEST_RECORDINGS at the folder that holds them")
        else:
            yield found.joined()
    yield synthetic(SYNTHETIC_MESSAGES, seed=11, levels=500, counts=QUIET_COUNTS, name="quiet symbol")


class InTurn:
    """One contender for each of many symbols, fed one message each in turn: caches are cold."""

    share = 1.0

    def __init__(self, name: str, each: Sequence[Contender]) -> None:
        self.name = name
        self._each = each
        self._next = 0

    def feed(self, frames: Frames) -> None:
        each, place = self._each, self._next
        for frame in frames:
            each[place].feed((frame,))
            place = (place + 1) % len(each)
        self._next = place

    def touch(self) -> Touch | None:
        return self._each[0].touch()


class YardstickInTurn(Yardstick):
    """One call a message, as the others have."""

    def feed(self, frames: Frames) -> None:
        feed = super().feed
        for frame in frames:
            feed((frame,))


def in_turn(books: int = BOOKS_IN_TURN) -> tuple[MessageSet, list[Contender]]:
    first = synthetic(TURN_MESSAGES, seed=13).depth_only()
    each = [first.named(f"S{place:02d}USDT") for place in range(books)]
    frames = tuple(frame for turn in zip(*(one.frames for one in each), strict=True) for frame in turn)
    mixed = MessageSet(f"{books} books in turn", first.spec, first.snapshot, frames, first.limit)
    makers: list[Any] = [*own_books(), OwnRows]
    contenders: list[Contender] = [YardstickInTurn(mixed)]
    contenders += [InTurn(make.name, [make(one) for one in each]) for make in makers]
    return mixed, contenders


def measure(notes: list[str], *, with_peers: bool = True) -> dict[str, Any]:
    """Timings by set: `depth` are depth messages alone, `all` has the trades between them."""
    results: dict[str, Any] = {}
    for messages in message_sets(notes):
        depth = messages.depth_only()
        own: list[Contender] = [Yardstick(depth), *(kind(depth) for kind in own_books()), OwnRows(depth)]
        results[messages.name] = {
            **shape(messages),
            "depth": _told(race(depth, [*own, *(peers(depth, notes) if with_peers else [])])),
            "all": _told(race(messages, [Yardstick(messages), OwnBook(messages), OwnRows(messages)])),
        }
        _say(f"{messages.name}: done")
    mixed, contenders = in_turn()
    results[mixed.name] = {**shape(mixed), "depth": _told(race(mixed, contenders))}
    return results


def shape(messages: MessageSet) -> dict[str, Any]:
    depth = [raw for _, raw in messages.frames if b"@depth" in raw[:60]]
    return {
        "depth_messages": len(depth),
        "trades": len(messages.frames) - len(depth),
        "bytes_mean": sum(map(len, depth)) / len(depth),
        "changes_mean": sum((raw.count(b'["') for raw in depth), 0) / len(depth),
    }


def _told(timings: Sequence[Timing]) -> dict[str, Any]:
    return {one.name: asdict(one) for one in timings}


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def show(results: dict[str, Any], notes: Sequence[str]) -> None:
    for name, one in results.items():
        print(
            f"\n{name}: {one['depth_messages']} depth messages of {one['bytes_mean']:.0f} bytes and "
            f"{one['changes_mean']:.1f} changes, {one['trades']} trades"
        )
        for kind, title in (("depth", "depth messages alone"), ("all", "with the trades")):
            if kind not in one:
                continue
            print(f"  {title:<34}{'µs/message':>12}{'ratio':>9}{'segments':>10}")
            for timing in one[kind].values():
                wrong = "" if timing["is_true"] else "  another touch than ours"
                print(
                    f"  {timing['name']:<34}{timing['us']:>12.2f}{timing['ratio']:>9.2f}{timing['segments']:>10}{wrong}"
                )
    for note in notes:
        print(f"note: {note}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--no-peers", action="store_true", help="leave the peers out")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    notes: list[str] = []
    results = measure(notes, with_peers=not options.no_peers)
    show(results, notes)
    if options.json is not None:
        options.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
