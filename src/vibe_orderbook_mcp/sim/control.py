"""What a rehearsal asks of the simulated exchange itself, below `/sim/`: faults, true books, scenarios."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse

from vibe_orderbook_mcp.model.errors import ConfigError
from vibe_orderbook_mcp.sim.episode import Truth
from vibe_orderbook_mcp.sim.faults import LEAD_VENUE, Faults, parse_faults
from vibe_orderbook_mcp.sim.ledger import KEEP_MS, Ledger, Levels, best_first
from vibe_orderbook_mcp.sim.market_venue import ModelVenue
from vibe_orderbook_mcp.sim.scenarios import AnyRequest, parse_requests
from vibe_orderbook_mcp.sim.venue import SimVenue, TruthSides
from vibe_orderbook_mcp.sim.venues import Venues


class Plays:
    """Scenarios of all markets, whichever venue they are of."""

    def __init__(self, lead: ModelVenue, others: Venues) -> None:
        self._lead = lead
        self._others = others

    def play(self, request: AnyRequest) -> Truth:
        """Have something happen, counted from now. Raises ConfigError."""
        name = request.symbol.removeprefix(f"{LEAD_VENUE}:")
        if ":" in name:
            return self._others.market(name).scenario(request)
        return self._lead.play(msgspec.structs.replace(request, symbol=name))

    def truths(self) -> list[Truth]:
        """What happens and has happened, symbol by symbol in the order of its planning."""
        return [*self._lead.truths(), *(truth for market in self._others.markets() for truth in market.truths())]

    def stop(self, symbol: str, number: int) -> bool:
        """End a scenario now; False when there is none."""
        if ":" not in symbol:
            return self._lead.stop_playing(symbol, number)
        try:
            return self._others.market(symbol).stop_playing(number)
        except ConfigError:
            return False


class TrueBook(NamedTuple):
    """One instrument's book as it truly is, at any moment of the last minute."""

    ledger: Ledger
    newest_id: int
    text: Callable[[Levels], TruthSides]
    update_of: Callable[[int], int] = int  # the update that an id of the venue's frames stands for

    def id_of(self, update_id: int | None, time_ms: int | None) -> int | None:
        """Of the update itself, of the one that a frame with this time ends with, or of the newest; None for a time
        that is over a minute ago.
        """
        if update_id is not None or time_ms is None:
            return self.newest_id if update_id is None else self.update_of(update_id)
        known = self.ledger.boundaries
        return self.ledger.id_at(time_ms) if not known or time_ms > known[-1].event_ms - KEEP_MS else None

    def after(self, update_id: int | None, levels: int) -> TruthSides | None:
        """The best levels; None when that is over a minute old or to come."""
        sides = None if update_id is None else self.ledger.at(update_id)
        return None if sides is None else self.text(best_first(sides, levels))


def true_book(lead: SimVenue, others: Venues | None, symbol: str) -> TrueBook:
    """Raises ConfigError where there is no such instrument."""
    name = symbol.removeprefix(f"{LEAD_VENUE}:")
    if others is not None and ":" in name:
        market = others.market(name)
        dialect = others.rooms[market.product.venue].dialect
        return TrueBook(
            market.ledger, market.change.final_id, market.text, lambda wire_id: dialect.update_of(wire_id, market)
        )
    if (state := lead.states.get(name)) is None:
        raise ConfigError(f"The simulated exchange does not list {symbol!r}.")
    return TrueBook(state.ledger, state.ledger.last_id, state.text)


async def answer_faults(faults: Faults, request: Request) -> JSONResponse:
    if request.method == "POST":
        try:
            wanted = parse_faults(await request.body())
        except ConfigError as error:
            return JSONResponse({"error": str(error)}, 400)
        return JSONResponse({"ids": [faults.add(fault) for fault in wanted]})
    if request.method == "DELETE":
        number = request.query_params.get("id")
        if number is None:
            faults.clear()
        elif not number.isdigit() or not faults.remove(int(number)):
            return JSONResponse({"error": f"No fault has the id {number!r}."}, 404)
    return JSONResponse({"faults": faults.listing()})


def answer_truth(lead: SimVenue, others: Venues | None, request: Request) -> JSONResponse:
    symbol, params = request.query_params.get("symbol", ""), request.query_params
    try:
        update_id = int(params["update_id"]) if "update_id" in params else None
        time_ms = int(params["time_ms"]) if "time_ms" in params else None
        levels = int(params.get("levels", 100))
    except ValueError:
        return JSONResponse({"error": "update_id, time_ms and levels are whole numbers."}, 400)
    try:
        book = true_book(lead, others, symbol)
    except ConfigError as error:
        return JSONResponse({"error": str(error)}, 404)
    update_id = book.id_of(update_id, time_ms)
    truth = book.after(update_id, levels)
    if truth is None:
        known = f"{book.ledger.oldest_id} to {book.newest_id}"
        which = f"Update {update_id}" if update_id is not None else f"The update of {time_ms}"
        return JSONResponse({"error": f"{which} of {symbol} is not known; {known} is."}, 404)
    return JSONResponse({"symbol": symbol, "update_id": update_id, "bids": truth[0], "asks": truth[1]})


async def answer_scenario(plays: Plays, request: Request) -> JSONResponse:
    if request.method == "POST":
        try:
            wanted = parse_requests(await request.body())
            return JSONResponse({"scenarios": [msgspec.to_builtins(plays.play(each)) for each in wanted]})
        except ConfigError as error:
            return JSONResponse({"error": str(error)}, 400)
    if request.method == "DELETE":
        symbol, number = request.query_params.get("symbol", ""), request.query_params.get("id", "")
        if not number.isdecimal() or not plays.stop(symbol, int(number)):
            return JSONResponse({"error": f"No scenario of {symbol!r} has the id {number!r}."}, 404)
    return JSONResponse({"scenarios": [msgspec.to_builtins(truth) for truth in plays.truths()]})
