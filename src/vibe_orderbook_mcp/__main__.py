"""The console script, and `python -m vibe_orderbook_mcp`."""

from __future__ import annotations

import sys

from vibe_orderbook_mcp.process.stopping import leave_when_told

OTHER_COMMANDS = ("sim", "record", "verify", "export", "import", "status")  # who stops one of them has no result


def main() -> None:
    if not set(OTHER_COMMANDS) & set(sys.argv[1:2]):
        leave_when_told()
    from vibe_orderbook_mcp.cli import main as run  # noqa: PLC0415  # takes a second, several on a busy machine

    run()


if __name__ == "__main__":
    main()
