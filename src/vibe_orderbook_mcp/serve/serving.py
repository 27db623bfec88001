"""The server as a program: made from its settings, and run as an HTTP application. uvicorn's settings are here."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import logging
import signal
import sys
from collections.abc import Iterator
from typing import Any

import uvicorn
from loguru import logger

from vibe_orderbook_mcp.model.errors import ConfigError
from vibe_orderbook_mcp.process.config import Settings, load_settings
from vibe_orderbook_mcp.process.logs import set_up_logging
from vibe_orderbook_mcp.process.stopping import stop_signals
from vibe_orderbook_mcp.serve.http import http_app
from vibe_orderbook_mcp.serve.mcp_server import VibeServer
from vibe_orderbook_mcp.serve.protocol import bounded

# A request that hangs must not hold up the stop, which has to be over within 5 s.
SHUTDOWN_SECS = 1
# Assistants pause between calls; a connection that closes at the moment of the next call loses it.
KEEP_ALIVE_SECS = 75
# Files that are no client's: RocksDB's, the exchange's sockets.
OTHER_FILES = 300
SWITCH_SECS = 0.0005


class ProgramServer(VibeServer):
    """The server with its HTTP application, as the SDK's own command runs it."""

    def sse_app(self, **_: Any) -> Any:
        """For `mcp run -t sse`: the same application as `serve --transport http`."""
        return http_app(self)


def create_server(settings: Settings) -> VibeServer:
    # Reading history takes a thread of its own many milliseconds; the event loop, which books and clients wait for,
    # should not wait Python's usual 5 ms for its turn.
    sys.setswitchinterval(SWITCH_SECS)
    return ProgramServer(settings)


def server_of_environment() -> VibeServer:
    """Settings are those of the environment. Ends the process with one sentence where they cannot be used."""
    try:
        settings = load_settings()
        set_up_logging(settings.log_level, settings.log_format)
        return create_server(settings)
    except ConfigError as error:
        sys.exit(f"Error: {error}")


class _Server(uvicorn.Server):
    """Stops on a signal and returns. uvicorn would raise the signal again and skip our clean-up."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        further = set(stop_signals()) - {signal.SIGTERM, signal.SIGINT}  # those are uvicorn's own
        with super().capture_signals():
            before = {number: signal.signal(number, self.handle_exit) for number in further}
            try:
                yield
            finally:
                self._captured_signals.clear()
                for number, handler in before.items():
                    signal.signal(number, handler)


def uvicorn_config(server: VibeServer) -> uvicorn.Config:
    settings = server.runtime.settings
    limits = dataclasses.replace(server.limits, connections=affordable_connections(server.limits.connections))
    logger.info("Limits: {}", ", ".join(f"{name} {value:g}" for name, value in dataclasses.asdict(limits).items()))
    return uvicorn.Config(
        http_app(server),
        host=settings.host,
        port=settings.port,
        http=bounded(limits, server.refusals.note),
        ws="none",
        log_config=None,  # ours is set up already
        access_log=False,
        timeout_keep_alive=KEEP_ALIVE_SECS,
        timeout_graceful_shutdown=SHUTDOWN_SECS,
        server_header=False,
        workers=1,  # whatever WEB_CONCURRENCY says
    )


def affordable_connections(wanted: int) -> int:
    """As many as the system lets this process open; without a free file no history can be written either."""
    try:
        import resource  # noqa: PLC0415  # not on Windows
    except ImportError:
        return wanted
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return wanted
    if soft < wanted + OTHER_FILES:
        with contextlib.suppress(OSError, ValueError):  # some systems allow less than they say
            more = wanted + OTHER_FILES if hard == resource.RLIM_INFINITY else min(wanted + OTHER_FILES, hard)
            resource.setrlimit(resource.RLIMIT_NOFILE, (more, hard))
            soft = more
    return min(wanted, max(soft // 2, soft - OTHER_FILES))


def _why_not_listening(host: str, port: int, error: BaseException | None) -> str:
    """One sentence for the command line."""
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.EADDRINUSE:
        return f"Port {port} on {host} is in use: choose another one with --port or VIBE_PORT."
    if number == errno.EACCES:
        return f"Port {port} needs more rights than this user has: choose one above 1023 with --port or VIBE_PORT."
    return f"VIBE_HOST is {host!r}, which is not this machine's: choose another one with --host or VIBE_HOST."


def serve_http(server: VibeServer) -> None:
    """Serve until a signal to stop. Raises ConfigError if the address or the port cannot be used."""
    settings = server.runtime.settings
    config = uvicorn_config(server)
    said = logging.getLogger("uvicorn.error")
    level = said.level
    said.setLevel(logging.CRITICAL)  # it would log the error, which is reported below
    try:
        listening = config.bind_socket()
    except SystemExit as stop:
        raise ConfigError(_why_not_listening(settings.host, settings.port, stop.__context__)) from None
    finally:
        said.setLevel(level)
    host, port = listening.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    logger.info(
        "Serving MCP on http://{}:{}/sse/ (SSE) and http://{}:{}/mcp (streamable HTTP)", shown, port, shown, port
    )
    _Server(config).run(sockets=[listening])
