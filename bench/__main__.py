"""Everything that can be measured here, each part by its own script: tables to read, JSON with versions and machine.

    python -m bench [--only books,growth] [--json FILE]

The parts, which can also be run alone with options of their own: `books` (this project beside its peers), `growth`,
`end_to_end`, `recorder`, `queries`, `answers`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench import report

PARTS = ("books", "growth", "end_to_end", "recorder", "queries", "answers")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default=",".join(PARTS), help="parts separated by commas")
    parser.add_argument("--json", type=Path, default=Path("bench/results.json"), help="where the results go")
    options = parser.parse_args()
    parts = options.only.split(",")
    if unknown := set(parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    report.show_machine()
    results: dict[str, Any] = {"machine": report.machine()}
    for part in parts:
        found = _run(part)
        if found is not None:
            results[part] = found
    options.json.write_text(json.dumps(results, indent=1) + "\n")
    report.show_goals(results)
    print(f"\nresults: {options.json}")
    sys.exit(0 if all(part in results for part in parts) else 1)


def _run(part: str) -> Any:
    """A process of its own for each: none is measured in the memory that another left behind."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "results.json"
        ended = subprocess.run([sys.executable, "-m", f"bench.{part}", "--json", str(path)], check=False)
        if ended.returncode == 0 and path.is_file():
            return json.loads(path.read_text())
    print(f"{part}: failed with code {ended.returncode}", file=sys.stderr)
    return None


if __name__ == "__main__":
    main()
