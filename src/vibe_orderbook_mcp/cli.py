"""The command line. Human output on stdout, logs on stderr, one clear sentence on bad input."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import math
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Collection, Coroutine
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from loguru import logger

from vibe_orderbook_mcp import __version__
from vibe_orderbook_mcp.model.errors import ConfigError, ExchangeUnavailable, StorageError, VibeError
from vibe_orderbook_mcp.model.instrument import KEPT_VENUES
from vibe_orderbook_mcp.model.listed import PriceSource
from vibe_orderbook_mcp.model.naming import NameRefused, read_instrument, read_instruments
from vibe_orderbook_mcp.process.config import Settings, load_settings, unknown_variables, unreadable_lines
from vibe_orderbook_mcp.process.logs import set_up_logging
from vibe_orderbook_mcp.process.stderr import never_waiting
from vibe_orderbook_mcp.process.stopping import leave_when_told, on_stop

app = typer.Typer(
    name="vibe-orderbook-mcp",
    help="Live, checked Binance order books with a memory, for assistants (MCP).",
    add_completion=False,
    no_args_is_help=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

# The simulated exchange has two hours of past trades, and a demo wants its profile soon.
DEMO_BACKFILL_HOURS = 1


class Transport(StrEnum):
    STDIO = "stdio"
    HTTP = "http"


class ExportKind(StrEnum):
    TRADES = "trades"
    SNAPSHOTS = "snapshots"


class ImportKind(StrEnum):
    TRADES = "trades"


class ExportFormat(StrEnum):
    CSV = "csv"
    JSONL = "jsonl"
    PARQUET = "parquet"


TransportOption = Annotated[Transport, typer.Option(help="stdio for Claude Desktop; http serves SSE, /mcp and health.")]
HostOption = Annotated[str | None, typer.Option(help="Address to listen on (VIBE_HOST).")]
PortOption = Annotated[int | None, typer.Option(help="Port to listen on (VIBE_PORT).")]
SymbolsOption = Annotated[str | None, typer.Option(help="Symbols separated by commas.")]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace a file that exists.")]
SeedOption = Annotated[int, typer.Option(help="Seed of the simulated market.")]


def main() -> None:
    """Console script. Exit code 2 for errors that the caller can correct, 1 for others."""
    _keep_standard_files()
    never_waiting()
    try:
        try:
            app()
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()
    except ConfigError as error:
        typer.echo(f"Error: {error}", err=True)
        sys.exit(2)
    except VibeError as error:
        typer.echo(f"Error: {error}", err=True)
        sys.exit(1)
    except BrokenPipeError:  # the reader closed the pipe (`| head`)
        _drop_output()
        sys.exit(1)
    except OSError as error:  # a full disk under an export
        _drop_output()
        typer.echo(f"Error: {error.strerror or error}.", err=True)
        sys.exit(1)


def _keep_standard_files() -> None:
    """Open the standard descriptors that are closed. Otherwise the next file or socket would get their number, and
    printed text would go there."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number


def _drop_output() -> None:
    """Discard unwritten output: Python would try again at its end and print a stack."""
    if sys.stdout is not None:
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _say(text: str) -> None:
    """A line that a server prints at its start. The server continues if it cannot be written."""
    with contextlib.suppress(OSError):
        typer.echo(text)


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit
    if context.invoked_subcommand is None:
        serve()


@app.command()
def serve(transport: TransportOption = Transport.STDIO, host: HostOption = None, port: PortOption = None) -> None:
    """Serve MCP on the live exchange."""
    settings = _settings(host=host, port=port)
    _serve(settings, transport)


@app.command()
def demo(
    transport: TransportOption = Transport.HTTP,
    host: HostOption = None,
    port: PortOption = None,
    symbols: SymbolsOption = None,
    seed: SeedOption = 1,
) -> None:
    """Serve MCP on a simulated exchange; needs no network and keeps its data in a temporary directory."""
    from vibe_orderbook_mcp.process.demo import simulated_addresses, simulated_exchange  # noqa: PLC0415  # only here

    base = _settings(host=host, port=port, symbols=symbols)
    with contextlib.ExitStack() as stack:
        leave_when_told(stack.close)
        is_given = "data_path" in base.model_fields_set
        data_path = base.data_path if is_given else Path(stack.enter_context(tempfile.TemporaryDirectory()))
        logger.info("Demo: prices are simulated. History goes to {}", data_path)
        urls = stack.enter_context(simulated_exchange(seed, base.log_level))
        hours = base.backfill_hours if "backfill_hours" in base.model_fields_set else DEMO_BACKFILL_HOURS
        changes = {**simulated_addresses(*urls), "data_path": data_path, "backfill_hours": hours}
        settings = base.model_copy(update=changes)
        _serve(settings, transport, before_exit=stack.close, source="simulated")


@app.command()
def sim(
    *,
    port: Annotated[int, typer.Option(help="Port for REST and websocket.")] = 9443,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    symbols: SymbolsOption = None,
    seed: SeedOption = 1,
    scenario: Annotated[str, typer.Option(help="A pace (quiet, normal, busy) or an event such as drain.")] = "normal",
    replay: Annotated[list[Path] | None, typer.Option(help="Recording to serve instead; may be repeated.")] = None,
    speed: Annotated[float, typer.Option(help="Replay speed; 0 is as fast as clients can read.")] = 1.0,
    venue: Annotated[str | None, typer.Option(help="Venue of the recording; found in its frames by itself.")] = None,
    with_parent: Annotated[bool, typer.Option(hidden=True, help="End when standard input ends.")] = False,
    files: Annotated[list[Path] | None, typer.Argument(help="More files of the recording.")] = None,
) -> None:
    """Serve only the simulated exchange: REST and websocket of Binance, of other venues below /VENUE."""
    from vibe_orderbook_mcp.sim.server import SimConfig, serve_sim  # noqa: PLC0415  # not needed by servers
    from vibe_orderbook_mcp.sim.venues import SIMULATED  # noqa: PLC0415  # not needed by servers

    _settings()
    if with_parent:
        threading.Thread(target=_end_with_input, daemon=True).start()
    recordings = [*(replay or []), *(files or [])]
    if recordings:
        from vibe_orderbook_mcp.sim.replay import ReplayConfig, serve_replay  # noqa: PLC0415  # not needed by servers

        replaying = ReplayConfig(files=tuple(recordings), speed=speed, venue=venue, host=host, port=port)
        _run(serve_replay(replaying, started=_say))
        return
    chosen = {"symbols": _symbol_list("--symbols", symbols, SIMULATED)} if symbols else {}
    config = SimConfig(host=host, port=port, seed=seed, scenario=scenario, **chosen)  # type: ignore[arg-type]  # checked there
    _run(serve_sim(config, started=_say))


@app.command()
def record(
    symbols: Annotated[str, typer.Option(help="Symbols separated by commas.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="File to write; .gz compresses.")],
    seconds: Annotated[float | None, typer.Option(help="Stop after this many seconds.")] = None,
    force: ForceOption = False,
) -> None:
    """Record raw frames of a live exchange, for `sim --replay`."""
    from vibe_orderbook_mcp.venues.recording import record_to  # noqa: PLC0415  # not needed by servers

    if seconds is not None and not 0 < seconds < math.inf:
        raise ConfigError(f"--seconds is {seconds:g}; it must be a number above 0.")
    settings = _settings()
    urls = settings.rest_url, settings.ws_url
    count = _run(record_to(output, _symbol_list("--symbols", symbols), *urls, seconds=seconds, force=force))
    if not count:
        raise ExchangeUnavailable(f"No frame came, so nothing was written to {output}.")
    typer.echo(f"Recorded {count} frames to {output}")


@app.command()
def verify(
    files: Annotated[list[Path], typer.Argument(help="Recordings, and REST answers beside them.")],
    venue: Annotated[str | None, typer.Option(help="Venue of the recording; found in its frames by itself.")] = None,
    tops: Annotated[Path | None, typer.Option(help="File for the best levels after each frame, JSON lines.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Rebuild every book of a recording by its venue's rule and report errors; exit code 1 if there are any."""
    from vibe_orderbook_mcp.verify.command import verify_to_text  # noqa: PLC0415  # not needed by servers

    _settings()
    text, is_sound = verify_to_text(files, venue, tops, as_json=as_json)
    typer.echo(text)
    if not is_sound:
        raise typer.Exit(1)


@app.command()
def export(
    kind: Annotated[ExportKind, typer.Argument(help="What to export.")],
    symbol: Annotated[str, typer.Option(help="Symbol.")],
    start: Annotated[str | None, typer.Option(help="ISO 8601 or unix seconds; UTC. Default: all.")] = None,
    end: Annotated[str | None, typer.Option(help="Like --start; not included.")] = None,
    format_: Annotated[ExportFormat, typer.Option("--format", help="Output format.")] = ExportFormat.CSV,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="File; .gz compresses. Default is stdout.")
    ] = None,
    force: ForceOption = False,
) -> None:
    """Write stored data out; works while a server runs."""
    from vibe_orderbook_mcp.store.offline import export_to  # noqa: PLC0415  # not needed by servers

    settings = _settings()
    name = _one_symbol("--symbol", symbol)
    work = export_to(settings.data_path, kind.value, name, start, end, format_.value, output, force=force)
    count = _run(work)
    if count is None:
        raise StorageError("The export was stopped" + ("." if output is None else f"; {output} was not written."))
    typer.echo(f"Exported {count} {kind.value} of {name}", err=True)


@app.command("import")
def import_(
    kind: Annotated[ImportKind, typer.Argument(help="What to import.")],  # there is one kind
    files: Annotated[list[Path], typer.Argument(help="Binance's public aggTrades files: .csv or .zip.")],
    symbol: Annotated[str, typer.Option(help="Symbol of the trades.")],
) -> None:
    """Store trades from Binance's public files; not while a server records into the same directory."""
    from vibe_orderbook_mcp.collect.importing import import_trades  # noqa: PLC0415  # not needed by servers

    settings = _settings()
    name = _one_symbol("--symbol", symbol)
    settings.check_data_path()
    limits = {"cap_mb": settings.storage_cap_mb, "retention_days": settings.retention_days}
    _run(import_trades(settings.data_path, files, name, **limits))


@app.command()
def status() -> None:
    """Show the content of the data directory."""
    from vibe_orderbook_mcp.store.offline import print_status  # noqa: PLC0415  # not needed by servers

    _run(print_status(_settings().data_path))


def _end_with_input() -> None:
    """The parent has the other end of standard input: when the parent ends in any way, this process stops too."""
    while os.read(0, 4096):  # not through sys.stdin: its lock would stay locked while the interpreter ends
        pass
    signal.raise_signal(signal.SIGTERM)


def _settings(**overrides: Any) -> Settings:
    settings = load_settings(**overrides)
    set_up_logging(settings.log_level, settings.log_format)
    for sentence in unreadable_lines():
        logger.warning(sentence)
    for name in unknown_variables():
        logger.warning("{} is not a setting of this program; it is ignored", name)
    return settings


def _serve(
    settings: Settings,
    transport: Transport,
    before_exit: Callable[[], None] | None = None,
    source: PriceSource | None = None,
) -> None:
    """`source`: the origin of the prices, if known before the exchange has answered."""
    settings.check_symbols()
    settings.check_data_path()
    if transport is Transport.STDIO and (sys.stdin is None or sys.stdout is None):
        raise ConfigError("Standard input or output is closed: MCP over stdio needs both. `--transport http` does not.")
    if transport is Transport.HTTP:
        settings.check_oauth()
        settings.check_bind()
        if settings.is_open_to_all:
            logger.warning(
                "VIBE_HOST is {} and neither VIBE_AUTH_TOKEN nor VIBE_OAUTH_... is set: everybody who reaches port {} "
                "can use this server. VIBE_ALLOWED_HOSTS does not authenticate clients",
                *(settings.host, settings.port),
            )
    leave_when_told(before_exit)
    logger.info(
        "vibe-orderbook-mcp {} starts: history in {}, exchange {}", __version__, settings.data_path, settings.rest_url
    )
    from vibe_orderbook_mcp.serve.serving import create_server  # noqa: PLC0415  # heavy, and other commands do without

    server = create_server(settings)
    server.runtime.presume(source)
    if transport is Transport.STDIO:
        if before_exit is not None:
            server.before_exit = before_exit
        _leave_alone_what_stays()
        server.run("stdio")
        return
    from vibe_orderbook_mcp.serve.serving import serve_http  # noqa: PLC0415  # not needed for stdio

    _leave_alone_what_stays()
    serve_http(server)


def _leave_alone_what_stays() -> None:
    """Modules and schemas live as long as the process, so the collector need not visit them. They were most of the 100
    ms for which a full collection blocked the event loop, and several times that on a busy machine."""
    gc.collect()
    gc.freeze()


def _symbol_list(option: str, text: str, venues: Collection[str] = KEPT_VENUES) -> tuple[str, ...]:
    try:
        return tuple(instrument.name for instrument in read_instruments(filter(str.strip, text.split(",")), venues))
    except NameRefused as error:
        raise ConfigError(f"{option}: {text!r} is not a list of symbols such as BTCUSDT,ETHUSDT: {error}") from error


def _one_symbol(option: str, text: str) -> str:
    try:
        return read_instrument(text).name
    except NameRefused as error:
        raise ConfigError(f"{option}: {text!r} is not one symbol such as BTCUSDT: {error}") from error


def _run(work: Coroutine[Any, Any, Any]) -> Any:
    """Run until done; signals to stop cancel, so that files and sockets are closed."""

    async def until_told() -> Any:
        task = asyncio.ensure_future(work)
        on_stop(task.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            return await task
        return None

    return asyncio.run(until_told())
