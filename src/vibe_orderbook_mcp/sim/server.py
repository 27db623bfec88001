"""The simulated exchange as a whole: a venue, its sockets on one port, its faults and its truth.

async with SimExchange(SimConfig(symbols=("BTCUSDT",), seed=7)) as sim:
    ... sim.rest_url, sim.ws_url, sim.faults.add(Drop(count=3)), sim.truth("BTCUSDT", update_id)
    ... sim.scenario("drain", "BTCUSDT", after=10, seconds=20, side="bid")
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from functools import partial
from http import HTTPStatus
from typing import Any, Final, Self, cast

import msgspec
import uvicorn
from loguru import logger
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from vibe_orderbook_mcp.model.errors import ConfigError
from vibe_orderbook_mcp.sim.catalog import DEFAULT_SYMBOLS, profile_of
from vibe_orderbook_mcp.sim.channels import Channels
from vibe_orderbook_mcp.sim.control import Plays, answer_faults, answer_scenario, answer_truth, true_book
from vibe_orderbook_mcp.sim.episode import Truth
from vibe_orderbook_mcp.sim.faults import LEAD_VENUE, Action, Disconnect, Faults
from vibe_orderbook_mcp.sim.hub import Hub
from vibe_orderbook_mcp.sim.market_venue import ModelVenue
from vibe_orderbook_mcp.sim.rest import RestApi
from vibe_orderbook_mcp.sim.scenarios import announcement, repeated, request_of, scenario_of
from vibe_orderbook_mcp.sim.sockets import SimConnection, Speaker, StreamLimits, Turned
from vibe_orderbook_mcp.sim.streams import StreamSpeaker, session_of
from vibe_orderbook_mcp.sim.venue import SimVenue, TruthSides
from vibe_orderbook_mcp.sim.venues import Venues, sort_names
from vibe_orderbook_mcp.sim.wire import Event

STOPPING_S: Final = 1.0


class SimConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What to simulate, and where to serve it."""

    # "BTCUSDT", "kraken:BTC/USD". A venue without a name here lists all that it can.
    symbols: tuple[str, ...] = DEFAULT_SYMBOLS
    seed: int = 1
    host: str = "127.0.0.1"
    port: int = 0  # 0: any free one
    scenario: str = "normal"  # one of scenarios.NAMES; what is no pace happens in the first symbol, again and again
    history_hours: float = 2.0  # trades from before the start, over REST
    start_ms: int | None = None  # exchange time at start; None is the present
    manual: bool = False  # time stands still but for `SimExchange.step`
    weight_limit: int = 6000
    limits: StreamLimits = StreamLimits()

    def check(self) -> None:
        """Raise `ConfigError` with one sentence when this cannot be simulated."""
        if not self.symbols:
            raise ConfigError("The simulated exchange needs at least one symbol.")
        sort_names(self.symbols)
        scenario_of(self.scenario)
        if not 0 <= self.history_hours <= 24:
            raise ConfigError(f"history_hours is {self.history_hours}; it may be 0 to 24.")
        if not 0 <= self.port <= 65535:
            raise ConfigError(f"port is {self.port}; it may be 0 to 65535.")


class VenueServer:
    """The sockets around a venue, in the caller's event loop."""

    def __init__(
        self,
        venue: SimVenue,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        seed: int = 1,
        weight_limit: int = 6000,
        limits: StreamLimits | None = None,
    ) -> None:
        self.venue = venue
        self.faults = Faults(seed, time.monotonic)
        self.faults.act = self._act
        self.hub = Hub(self.faults)
        self.host, self.port = host, port
        self.others: Venues | None = None  # venues beside Binance spot
        self._channels = {symbol: Channels(state) for symbol, state in venue.states.items()}
        self._rest = RestApi(venue, self.faults, weight_limit)
        self._limits = limits or StreamLimits()
        self._stack = contextlib.AsyncExitStack()
        self._running: asyncio.Task[None] | None = None

    @property
    def rest_url(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def ws_url(self) -> str:
        return f"ws://{self.host}:{self.port}"

    def truth(
        self, symbol: str, update_id: int | None = None, levels: int = 100, *, time_ms: int | None = None
    ) -> TruthSides | None:
        """The best levels of the true book right after `update_id`; None when it is over a minute old or to come.

        Of a venue without ids `time_ms` is the time in its frame. Without either it is the book of the newest frame.
        """
        book = true_book(self.venue, self.others, symbol)
        return book.after(book.id_of(update_id, time_ms), levels)

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(self._served())
            self._running = asyncio.create_task(
                self.venue.run(self._publish, self.hub.wanted, self.hub.drained), name="sim venue"
            )
            stack.push_async_callback(self._stop_running)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self._stack.aclose()

    async def wait(self) -> None:
        """Serve until cancelled; a venue that fails ends the wait with its error."""
        if self._running is not None:
            await self._running

    def _publish(self, symbol: str, events: Sequence[Event]) -> None:
        for message in self._channels[symbol].messages(events, self.hub.wanted):
            self.hub.send(message)

    async def _stop_running(self) -> None:
        assert self._running is not None  # noqa: S101  for mypy: set before this is registered
        self._running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._running

    def _act(self, action: Action) -> None:
        if isinstance(action, Disconnect):
            self.hub.disconnect(action.connection, abrupt=action.abrupt, venue=action.venue)
            return
        self.hub.announce_shutdown(self.venue.now_ms())
        if action.disconnect_after is not None:
            loop = asyncio.get_running_loop()
            loop.call_later(action.disconnect_after, partial(self.hub.disconnect, None, abrupt=False))

    def _speaker(self, connection: SimConnection, path: str, query: str) -> Speaker | Turned:
        venue = path.removeprefix("/").partition("/")[0]
        others = self.others if self.others is not None and venue in self.others.rooms else None
        if self.faults.refuses_handshake(time.monotonic(), LEAD_VENUE if others is None else venue):
            return Turned(HTTPStatus.SERVICE_UNAVAILABLE, "Service Unavailable\n")
        if others is not None:
            return others.speaker(connection, path, query)
        session = session_of(path, query)
        if isinstance(session, Turned):
            return session
        return StreamSpeaker(connection, self.hub, self.venue.subscribed, session)

    @contextlib.asynccontextmanager
    async def _served(self) -> AsyncIterator[None]:
        others = [] if self.others is None else self.others.routes()
        config = uvicorn.Config(
            Starlette(routes=[*self._rest.routes(), *self._control(), *others]),
            ws=cast(Any, partial(SimConnection, self._speaker, self._limits)),
            lifespan="off",
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=int(STOPPING_S),
        )
        listening = _bind(self.host, self.port)
        self.port = listening.getsockname()[1]
        server = _QuietServer(config)
        serving = asyncio.create_task(server.serve(sockets=[listening]), name="sim server")
        try:
            while not server.started:
                if serving.done():
                    await serving
                    raise ConfigError(f"The simulated exchange could not serve {self.host}:{self.port}.")
                await asyncio.sleep(0.001)
            yield
        finally:
            self.faults.clear()  # requests that hang are let go
            server.should_exit = True
            await serving

    def _control(self) -> list[Route]:
        return [
            Route("/sim/faults", partial(answer_faults, self.faults), methods=["GET", "POST", "DELETE"]),
            Route("/sim/status", self._status_endpoint),
            Route("/sim/truth", self._truth_endpoint),
        ]

    async def _status_endpoint(self, _request: Request) -> JSONResponse:
        connections = sorted(self.hub.listeners)
        return JSONResponse(self.venue.status() | {"connections": connections, "frames_sent": self.hub.frames_sent})

    async def _truth_endpoint(self, request: Request) -> JSONResponse:
        return answer_truth(self.venue, self.others, request)


class SimExchange(VenueServer):
    """The model-driven exchange."""

    venue: ModelVenue

    def __init__(self, config: SimConfig | None = None) -> None:
        config = config or SimConfig()
        config.check()
        self.config = config
        scenario, (spot, chosen) = scenario_of(config.scenario), sort_names(config.symbols)
        venue = ModelVenue(
            [profile_of(symbol) for symbol in spot],
            seed=config.seed,
            scenario=scenario,
            history_hours=config.history_hours,
            start_ms=int(time.time() * 1000) if config.start_ms is None else config.start_ms,
            manual=config.manual,
        )
        super().__init__(
            venue,
            host=config.host,
            port=config.port,
            seed=config.seed,
            weight_limit=config.weight_limit,
            limits=config.limits,
        )
        self.others: Venues = Venues(
            venue, self.hub, chosen, seed=config.seed, hours=config.history_hours, scenario=scenario
        )
        self._plays = Plays(venue, self.others)

        request = repeated(config.scenario, config.symbols[0])
        self.announcement = None if request is None else announcement(request)
        if request is not None:
            self._plays.play(request)

    def scenario(self, name: str, symbol: str, **fields: Any) -> Truth:
        """Have a scenario happen; `fields` are those of its request. The answer is filled in while it does."""
        return self._plays.play(request_of(name, symbol, **fields))

    async def step(self, millis: int) -> None:
        """Let exchange time pass (manual exchanges only)."""
        await self.venue.step(millis)

    def _control(self) -> list[Route]:
        methods = ["GET", "POST", "DELETE"]
        return [*super()._control(), Route("/sim/scenario", partial(answer_scenario, self._plays), methods=methods)]


class _QuietServer(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """The program around us decides what Ctrl+C means."""
        yield


def _bind(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        # CPython puts the address into `strerror` again
        why = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or str(error)
        raise ConfigError(f"The simulated exchange cannot listen on {host}:{port}: {why.lower()}.") from error


async def serve_sim(config: SimConfig, *, started: Callable[[str], None]) -> None:
    """Serve until cancelled. `started` gets one sentence with the addresses as soon as clients may come."""
    async with SimExchange(config) as sim:
        logger.info("Simulated exchange for {} symbols on {}", len(sim.venue.states), sim.rest_url)
        started(f"Simulated exchange: REST {sim.rest_url}, websocket {sim.ws_url}")
        if sim.announcement is not None:
            started(sim.announcement)
        await sim.wait()
