"""`python -m vibe_orderbook_mcp.probe`: exit code 0 when the server of this environment is alive. For containers.

It finds the server's address from the same variables and `.env`, and uses a host name that is always allowed. It does
not load the settings, because that would cost half a second of CPU every time.
"""

from __future__ import annotations

import http.client
import ipaddress
import os
import sys

from dotenv import dotenv_values

TIMEOUT_SECS = 4.0


def listening_at(variables: dict[str, str]) -> tuple[str, int]:
    """Host and port of the server. Names are in upper case. Raises ValueError for an invalid port."""
    host = variables.get("VIBE_HOST", "127.0.0.1").strip("[]")
    try:
        if ipaddress.ip_address(host).is_unspecified:  # every address of this machine
            host = "::1" if ":" in host else "127.0.0.1"
    except ValueError:
        pass  # a name
    return host, int(variables.get("VIBE_PORT", variables.get("PORT", "8000")))


def main() -> int:
    given = {**dotenv_values(".env"), **os.environ}
    try:
        host, port = listening_at({name.upper(): value for name, value in given.items() if value is not None})
        connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_SECS)
        connection.request("GET", "/healthz", headers={"Host": "localhost"})
        status = connection.getresponse().status
    except (OSError, ValueError, http.client.HTTPException) as error:
        sys.stderr.write(f"The server does not answer: {error}\n")
        return 1
    if status != http.client.OK:
        sys.stderr.write(f"The server answers HTTP {status}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
