"""`python -m bench`: everything that can be measured here, as a table and as JSON."""

from __future__ import annotations

import argparse
from pathlib import Path

from bench import books, report


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--only", help="parts separated by commas: books")
    parser.add_argument("--no-peers", action="store_true", help="leave the peers out")
    parser.add_argument("--json", type=Path, default=Path("bench/results.json"), help="where the results go")
    options = parser.parse_args()
    notes: list[str] = []
    results = {"books": books.measure(notes, with_peers=not options.no_peers)}
    report.show(results, notes)
    report.write(options.json, results, notes)


if __name__ == "__main__":
    main()
