"""How the cost of a message and the memory of a symbol grow with the book, and with the number of symbols.

    python -m bench.growth [--plot docs/growth.svg] [--json FILE]

One book of 100 to 10,000 levels a side, and 1 to 500 symbols of 1000 levels a side fed one message each in turn, both
with rows as in production. Memory is what the process grew by for each symbol once its books and rows were running.
"""

from __future__ import annotations

import argparse
import gc
import json
import multiprocessing
import os
import time
from pathlib import Path
from statistics import median
from typing import Any

from bench.contenders import OwnBook, OwnRows
from bench.report import machine
from bench.sets import MessageSet
from bench.synthetic import synthetic

LEVELS = (100, 300, 1_000, 3_000, 10_000)
SYMBOLS = (1, 5, 20, 50, 100, 200, 500)
SYMBOL_LEVELS = 1_000
BTC_COUNTS = (5, 30, 330)  # level changes a message: fewest, median, most; 40 on average, as recorded
MESSAGES_A_SECOND = 10
SEGMENTS = 10


def by_levels() -> list[dict[str, Any]]:
    return [_one_book(levels) for levels in LEVELS]


def _one_book(levels: int) -> dict[str, Any]:
    messages = synthetic(1_000, seed=17, levels=levels, counts=BTC_COUNTS).depth_only()
    cost = {}
    for kind in (OwnBook, OwnRows):
        contender = kind(messages)
        cost[kind.name] = _median_us(contender, messages)
    return {"levels": levels, "book_us": cost[OwnBook.name], "rows_us": cost[OwnRows.name]}


def _median_us(contender: OwnBook | OwnRows, messages: MessageSet) -> float:
    size = len(messages.frames) // SEGMENTS
    costs = []
    for segment in range(SEGMENTS):
        part = messages.frames[segment * size : (segment + 1) * size]
        begun = time.thread_time_ns()
        contender.feed(part)
        costs.append((time.thread_time_ns() - begun) / 1e3 / size)
    return median(costs)


def by_symbols() -> list[dict[str, Any]]:
    """Each number in a process of its own: memory that one used is not there for the next."""
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        return [pool.apply(_many_books, (count,)) for count in SYMBOLS]


def _many_books(count: int) -> dict[str, Any]:
    turns = 40 if count <= 100 else 25
    first = synthetic(turns, seed=19, levels=SYMBOL_LEVELS, counts=BTC_COUNTS).depth_only()
    each = [first.named(f"S{place:03d}USD") for place in range(count)]
    gc.collect()
    before = _rss_bytes()
    books = [OwnRows(one) for one in each]
    costs = []
    for turn in range(turns):
        begun = time.thread_time_ns()
        for book, one in zip(books, each, strict=True):
            book.feed((one.frames[turn],))
        costs.append((time.thread_time_ns() - begun) / 1e3 / count)
    return {
        "symbols": count,
        "mean_us": sum(costs) / turns,  # every tenth turn ends a second, so a median would leave those out
        "kb_a_symbol": (_rss_bytes() - before) / count / 1e3,
    }


def _rss_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def measure() -> dict[str, Any]:
    return {"levels": by_levels(), "symbols": by_symbols()}


def show(results: dict[str, Any]) -> None:
    print("\ngrowth: one book, messages of 40 changes")
    print(f"  {'levels a side':>14}{'book µs':>10}{'with rows µs':>14}")
    for one in results["levels"]:
        print(f"  {one['levels']:>14}{one['book_us']:>10.1f}{one['rows_us']:>14.1f}")
    print(f"growth: symbols in turn, {SYMBOL_LEVELS} levels a side, with rows")
    print(f"  {'symbols':>14}{'µs/message':>12}{'% of a core at 10/s':>21}{'kB a symbol':>13}")
    for one in results["symbols"]:
        share = one["symbols"] * MESSAGES_A_SECOND * one["mean_us"] / 1e4
        print(f"  {one['symbols']:>14}{one['mean_us']:>12.1f}{share:>21.1f}{one['kb_a_symbol']:>13.0f}")


def plot(results: dict[str, Any], path: Path) -> None:
    from matplotlib import pyplot  # noqa: PLC0415  # an optional requirement

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
    levels = [one["levels"] for one in results["levels"]]
    left.plot(levels, [one["rows_us"] for one in results["levels"]], "o-", label="book and rows")
    left.plot(levels, [one["book_us"] for one in results["levels"]], "s-", label="book")
    left.set(xscale="log", xlabel="levels a side", ylabel="CPU µs a message", title="One book, 40 changes a message")
    left.set_ylim(bottom=0)
    left.legend()
    left.grid(alpha=0.3)
    symbols = [one["symbols"] for one in results["symbols"]]
    share = [one["symbols"] * MESSAGES_A_SECOND * one["mean_us"] / 1e4 for one in results["symbols"]]
    right.plot(symbols, share, "o-")
    right.axhline(100, color="grey", linestyle="--", linewidth=1)
    right.annotate("one core", (symbols[0], 100), textcoords="offset points", xytext=(2, 4), color="grey")
    right.set(
        xscale="log",
        yscale="log",
        xlabel="symbols, 10 messages a second each",
        ylabel="% of one core",
        title="Decoding, books and rows of many symbols",
    )
    right.set_ylim(top=300)
    right.grid(alpha=0.3, which="both")
    about = machine()
    figure.supxlabel(f"{about['date']}, {about['cpu']}, Python {about['python']}", fontsize=8, color="grey")
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    results = measure()
    show(results)
    if options.plot is not None:
        plot(results, options.plot)
    if options.json is not None:
        options.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
