"""The simulated exchange as a process beside the server, so that its work does not disturb the server's loop."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator

from vibe_orderbook_mcp.model.errors import ConfigError
from vibe_orderbook_mcp.model.instrument import DEFAULT_VENUE, KEPT_VENUES
from vibe_orderbook_mcp.process.addresses import names

STOP_SECS = 3.0


@contextlib.contextmanager
def simulated_exchange(seed: int, log_level: str) -> Iterator[tuple[str, str]]:
    """(REST URL, websocket URL) of a fresh simulated exchange on a free port; stopped at the end."""
    command = [sys.executable, "-m", "vibe_orderbook_mcp", "sim", "--with-parent", "--port", "0", "--seed", str(seed)]
    process = subprocess.Popen(  # noqa: S603  # our own program
        command,
        start_new_session=True,  # Ctrl-C reaches the server, which stops first and then ends this
        stdin=subprocess.PIPE,  # closed at any end of this process: the exchange ends with its input
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "VIBE_LOG_LEVEL": log_level},
    )
    try:
        line = process.stdout.readline() if process.stdout is not None else ""
        words = [word.strip(",") for word in line.split()]
        rest = next((word for word in words if word.startswith("http://")), None)
        if rest is None:
            raise ConfigError("The simulated exchange did not start; see its log lines above.")
        yield rest, rest.replace("http://", "ws://", 1)
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


def simulated_addresses(rest_url: str, ws_url: str) -> dict[str, str]:
    """Settings by which every venue is the simulated one: the default venue at the root, another below its name."""
    found: dict[str, str] = {}
    for venue in KEPT_VENUES:
        path = "" if venue == DEFAULT_VENUE else f"/{venue}"
        rest, ws = names(venue)
        found |= {f"{rest}_url": rest_url + path, f"{ws}_url": ws_url + path}
    return found
