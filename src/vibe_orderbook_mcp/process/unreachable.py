"""Why the exchange cannot be reached, in words for the log and for clients: the host, the proxy, and the failure.

The libraries' own texts contain addresses, paths and credentials, so they are never shown.
"""

from __future__ import annotations

import errno
import re
import socket
import ssl
from collections.abc import Iterator

import httpx
from websockets.exceptions import InvalidProxyStatus, ProxyError

from vibe_orderbook_mcp.process.outbound import route, socks_errors

_BROKEN = "the connection broke or the answer was damaged"
_PROXY = "the proxy did not let it through"
_NUMBERS = {
    errno.ECONNREFUSED: "refused",
    errno.ETIMEDOUT: "timed out",
    errno.ENETUNREACH: "no route",
    errno.EHOSTUNREACH: "no route",
    errno.ECONNRESET: "reset",
    errno.EPIPE: "reset",
}

# The first match counts: some are subclasses of later ones.
_KINDS: tuple[tuple[tuple[type[BaseException], ...], str], ...] = (
    ((ssl.SSLCertVerificationError,), "TLS failed, its certificate is not trusted"),
    ((ssl.SSLError,), "TLS failed"),
    ((socket.gaierror,), "name not found"),
    ((TimeoutError, httpx.TimeoutException), "timed out"),
    ((httpx.InvalidURL, httpx.UnsupportedProtocol), "its address is not valid"),
)


def unreachable(what: str, url: str, error: BaseException) -> str:
    """A sentence: `what` cannot be reached at this base URL. Raises ConfigError as `outbound.check` does."""
    return f"{what} cannot be reached at {route(url)} ({why(error)})."


def why(error: BaseException) -> str:
    """The failure: refused, name not found, timed out, a TLS error and so on. The deepest cause counts first."""
    chain = list(_chain(error))
    for cause in reversed(chain):
        if (words := _words(cause)) is not None:
            return words
    return "no connection" if isinstance(error, httpx.ConnectError | OSError) else _BROKEN


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and its causes, down to the last one."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        # A group: several addresses of one name were tried. A library may hide the context, which has the cause.
        below = error.__cause__ or error.__context__
        error = error.exceptions[0] if isinstance(error, BaseExceptionGroup) else below


def _words(error: BaseException) -> str | None:
    for kinds, words in _KINDS:
        if isinstance(error, kinds):
            return words
    if isinstance(error, InvalidProxyStatus):
        return f"{_PROXY}, HTTP {error.response.status_code}"
    if isinstance(error, httpx.ProxyError):
        status = re.match(r"[1-5]\d\d\b", str(error))
        return _PROXY if status is None else f"{_PROXY}, HTTP {status[0]}"
    if isinstance(error, (ProxyError, *socks_errors())):
        return _PROXY
    return _NUMBERS.get(_number(error) or 0) if isinstance(error, OSError) else None


def _number(error: OSError) -> int | None:
    if error.errno is None and (told := re.search(r"\[Errno (\d+)\]", str(error))) is not None:
        return int(told[1])  # asyncio's words for several addresses
    return error.errno
