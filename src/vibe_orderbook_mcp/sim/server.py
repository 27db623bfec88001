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
from vibe_orderbook_mcp.sim.episode import Truth
from vibe_orderbook_mcp.sim.faults import Action, Disconnect, Faults, parse_faults
from vibe_orderbook_mcp.sim.hub import Hub
from vibe_orderbook_mcp.sim.ledger import best_first
from vibe_orderbook_mcp.sim.market_venue import ModelVenue
from vibe_orderbook_mcp.sim.rest import RestApi
from vibe_orderbook_mcp.sim.scenarios import announcement, parse_requests, repeated, request_of, scenario_of
from vibe_orderbook_mcp.sim.streams import StreamConnection, StreamLimits
from vibe_orderbook_mcp.sim.venue import SimVenue, TruthSides
from vibe_orderbook_mcp.sim.wire import Event

STOPPING_S: Final = 1.0


class SimConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What to simulate, and where to serve it."""

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
        for symbol in self.symbols:
            profile_of(symbol)
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

    def truth(self, symbol: str, update_id: int, levels: int = 100) -> TruthSides | None:
        """The best levels of the true book right after `update_id`; None when it is over a minute old or to come."""
        state = self.venue.states[symbol]
        sides = state.ledger.at(update_id)
        return None if sides is None else state.text(best_first(sides, levels))

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
            self.hub.disconnect(action.connection, abrupt=action.abrupt)
            return
        self.hub.announce_shutdown(self.venue.now_ms())
        if action.disconnect_after is not None:
            loop = asyncio.get_running_loop()
            loop.call_later(action.disconnect_after, partial(self.hub.disconnect, None, abrupt=False))

    @contextlib.asynccontextmanager
    async def _served(self) -> AsyncIterator[None]:
        config = uvicorn.Config(
            Starlette(routes=[*self._rest.routes(), *self._control()]),
            ws=cast(Any, partial(StreamConnection, self.hub, self._limits, self.venue.subscribed)),
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
            Route("/sim/faults", self._faults_endpoint, methods=["GET", "POST", "DELETE"]),
            Route("/sim/status", self._status_endpoint),
            Route("/sim/truth", self._truth_endpoint),
        ]

    async def _faults_endpoint(self, request: Request) -> JSONResponse:
        if request.method == "POST":
            try:
                faults = parse_faults(await request.body())
            except ConfigError as error:
                return JSONResponse({"error": str(error)}, 400)
            return JSONResponse({"ids": [self.faults.add(fault) for fault in faults]})
        if request.method == "DELETE":
            number = request.query_params.get("id")
            if number is None:
                self.faults.clear()
            elif not number.isdigit() or not self.faults.remove(int(number)):
                return JSONResponse({"error": f"No fault has the id {number!r}."}, 404)
        return JSONResponse({"faults": self.faults.listing()})

    async def _status_endpoint(self, _request: Request) -> JSONResponse:
        connections = sorted(self.hub.listeners)
        return JSONResponse(self.venue.status() | {"connections": connections, "frames_sent": self.hub.frames_sent})

    async def _truth_endpoint(self, request: Request) -> JSONResponse:
        symbol, params = request.query_params.get("symbol", ""), request.query_params
        if symbol not in self.venue.states:
            return JSONResponse({"error": f"The simulated exchange does not list {symbol!r}."}, 404)
        state = self.venue.states[symbol]
        try:
            update_id = int(params.get("update_id", state.ledger.last_id))
            levels = int(params.get("levels", 100))
        except ValueError:
            return JSONResponse({"error": "update_id and levels are whole numbers."}, 400)
        truth = self.truth(symbol, update_id, levels)
        if truth is None:
            known = f"{state.ledger.oldest_id} to {state.ledger.last_id}"
            return JSONResponse({"error": f"Update {update_id} of {symbol} is not known; {known} is."}, 404)
        return JSONResponse({"symbol": symbol, "update_id": update_id, "bids": truth[0], "asks": truth[1]})


class SimExchange(VenueServer):
    """The model-driven exchange."""

    venue: ModelVenue

    def __init__(self, config: SimConfig | None = None) -> None:
        config = config or SimConfig()
        config.check()
        self.config = config
        venue = ModelVenue(
            [profile_of(symbol) for symbol in dict.fromkeys(config.symbols)],
            seed=config.seed,
            scenario=scenario_of(config.scenario),
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

        request = repeated(config.scenario, config.symbols[0])
        self.announcement = None if request is None else announcement(request)
        if request is not None:
            venue.play(request)

    def scenario(self, name: str, symbol: str, **fields: Any) -> Truth:
        """Have a scenario happen; `fields` are those of its request. The answer is filled in while it does."""
        return self.venue.play(request_of(name, symbol, **fields))

    async def step(self, millis: int) -> None:
        """Let exchange time pass (manual exchanges only)."""
        await self.venue.step(millis)

    def _control(self) -> list[Route]:
        methods = ["GET", "POST", "DELETE"]
        return [*super()._control(), Route("/sim/scenario", self._scenario_endpoint, methods=methods)]

    async def _scenario_endpoint(self, request: Request) -> JSONResponse:
        if request.method == "POST":
            try:
                wanted = parse_requests(await request.body())
                return JSONResponse({"scenarios": [msgspec.to_builtins(self.venue.play(each)) for each in wanted]})
            except ConfigError as error:
                return JSONResponse({"error": str(error)}, 400)
        if request.method == "DELETE":
            symbol, number = request.query_params.get("symbol", ""), request.query_params.get("id", "")
            if not number.isdecimal() or not self.venue.stop_playing(symbol, int(number)):
                return JSONResponse({"error": f"No scenario of {symbol!r} has the id {number!r}."}, 404)
        return JSONResponse({"scenarios": [msgspec.to_builtins(truth) for truth in self.venue.truths()]})


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
