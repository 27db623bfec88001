"""The REST endpoints, with the exchange's parameters, weights and error words."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from vibe_orderbook_mcp.sim.corruption import corrupt_answer
from vibe_orderbook_mcp.sim.faults import Faults, RestPlan
from vibe_orderbook_mcp.sim.past import AggRow
from vibe_orderbook_mcp.sim.rules import RATE_LIMITS, Grid, Rules
from vibe_orderbook_mcp.sim.tickers import day_ticker
from vibe_orderbook_mcp.sim.venue import SimVenue, SymbolTruth
from vibe_orderbook_mcp.sim.weights import Weights
from vibe_orderbook_mcp.sim.wire import encode

HANG_POLL_S: Final = 0.02


async def hold_up(plan: RestPlan, request: Request, faults: Faults) -> None:
    """Wait as long as the plan says. A request that hangs waits until its fault is taken off or its client has left:
    two ends, so neither gives an event to await.
    """
    if plan.delay_s:
        await asyncio.sleep(plan.delay_s)
    while plan.hang is not None and faults.hangs(plan.hang):
        if await request.is_disconnected():
            return
        await asyncio.sleep(HANG_POLL_S)


MAX_DEPTH: Final = 5000
MAX_TRADES: Final = 1000
MAX_SYMBOLS_CHEAP: Final = 20
_USUAL_WAIT_S: Final = {429: 1, 418: 120}
_BODIES: Final = {
    403: b"<html><body>403 Forbidden</body></html>",
    418: b'{"code":-1003,"msg":"Way too much request weight used; IP banned until %d. Please use WebSocket Streams for '
    b'live updates to avoid bans."}',
    429: b'{"code":-1003,"msg":"Too much request weight used; current limit is %d request weight per 1 MINUTE. Please '
    b'use WebSocket Streams for live updates to avoid polling the API."}',
    451: b'{"code":0,"msg":"Service unavailable from a restricted location according to \'b. Eligibility\' in '
    b"https://www.binance.com/en/terms. Please contact customer service if you believe you received this message in "
    b'error."}',
    500: b'{"code":-1000,"msg":"An unknown error occurred while processing the request."}',
    502: b"<html><body>502 Bad Gateway</body></html>",
    503: b'{"code":-1008,"msg":"Server is currently overloaded with other requests. Please try again in a few '
    b'minutes."}',
}

Answer = Callable[[Request], Awaitable[Any]]


class Invalid(Exception):
    """The request is refused with one of the exchange's error codes."""

    def __init__(self, code: int, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status


class RestApi:
    """The public market data API of one venue."""

    def __init__(self, venue: SimVenue, faults: Faults, weight_limit: int) -> None:
        self._venue = venue
        self._faults = faults
        self._weights = Weights(weight_limit)

    def routes(self) -> list[Route]:
        table: list[tuple[str, Answer, Callable[[Request], int]]] = [
            ("ping", self._ping, _one),
            ("time", self._time, _one),
            ("exchangeInfo", self._exchange_info, lambda _request: 20),
            ("depth", self._depth, _depth_weight),
            ("trades", self._trades, lambda _request: 25),
            ("historicalTrades", self._trades, lambda _request: 25),
            ("aggTrades", self._agg_trades, lambda _request: 4),
            ("ticker/24hr", self._day, _day_weight),
            ("ticker/price", self._price, _few_or_all),
            ("ticker/bookTicker", self._book_ticker, _few_or_all),
        ]
        return [Route(f"/api/v3/{path}", self._endpoint(answer, weight)) for path, answer, weight in table]

    def _endpoint(self, answer: Answer, weigh: Callable[[Request], int]) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            now_ms = self._venue.now_ms()
            address = request.client.host if request.client else ""
            verdict = self._weights.spend(address, weigh(request), now_ms)
            headers = {
                "x-vibe-source": self._venue.source,  # no exchange says so: these prices are not its own
                "x-mbx-used-weight": str(verdict.used),
                "x-mbx-used-weight-1m": str(verdict.used),
            }
            if verdict.status != 200:
                return self._refusal(verdict.status, headers, verdict.retry_after_s)
            symbol = request.query_params.get("symbol", "")
            plan = self._faults.rest_plan(request.url.path, symbol, time.monotonic())
            await hold_up(plan, request, self._faults)
            if plan.status is not None:
                wait_s = _USUAL_WAIT_S.get(plan.status) if plan.retry_after is None else plan.retry_after
                return self._refusal(plan.status, headers, wait_s, plan.told)
            try:
                body = encode(await answer(request))
                if plan.corruption is not None:
                    body = corrupt_answer(body, plan.corruption)
                return _json(body, 200, headers)
            except Invalid as invalid:
                return _json(encode({"code": invalid.code, "msg": invalid.message}), invalid.status, headers)

        return endpoint

    def _refusal(self, status: int, headers: dict[str, str], wait_s: int | None, told: str = "both") -> Response:
        body = _BODIES[status]
        if wait_s is not None and told != "body":
            headers["retry-after"] = formatdate(time.time() + wait_s, usegmt=True) if told == "date" else str(wait_s)
        if status == 429:
            body %= self._weights.limit
        elif status == 418 and told == "date":
            body = b"{}"
        elif status == 418:
            body %= self._venue.now_ms() + 1000 * (wait_s or 0)
        return _json(body, status, headers)

    async def _ping(self, _request: Request) -> dict[str, Any]:
        return {}

    async def _time(self, _request: Request) -> dict[str, Any]:
        return {"serverTime": self._venue.now_ms() + self._faults.skew_ms()}

    async def _exchange_info(self, request: Request) -> dict[str, Any]:
        chosen = self._chosen(request)
        recorded = self._venue.exchange_info()
        if recorded is not None:
            names = {state.rules.symbol for state in chosen}
            return recorded | {"symbols": [entry for entry in recorded["symbols"] if entry["symbol"] in names]}
        return {
            "timezone": "UTC",
            "serverTime": self._venue.now_ms(),
            "rateLimits": RATE_LIMITS,
            "exchangeFilters": [],
            "symbols": [self._listing(state.rules) for state in chosen],
        }

    def _listing(self, rules: Rules) -> dict[str, Any]:
        if (exp := self._faults.tick_exp(rules.symbol)) is not None:
            rules = msgspec.structs.replace(rules, price=Grid(exp))
        suspension = self._faults.suspension(rules.symbol)
        return rules.listing() if suspension is None else rules.listing() | {"status": suspension}

    async def _depth(self, request: Request) -> Any:
        state = self._state(request)
        limit = _whole(request, "limit", 100, least=1)
        if not await self._venue.ready(state.rules.symbol):
            raise Invalid(-1007, "Timeout waiting for response from backend server.", 503)
        age_ms = self._faults.snapshot_age_ms(state.rules.symbol, time.monotonic())
        update_id = state.ledger.id_at(self._venue.now_ms() - age_ms) if age_ms else None
        answer = state.depth(min(limit, MAX_DEPTH), update_id)
        if answer is None:
            raise Invalid(-1000, "An unknown error occurred while processing the request.", 500)
        return answer

    async def _agg_trades(self, request: Request) -> list[dict[str, Any]]:
        state = self._state(request)
        limit = min(_whole(request, "limit", 500, least=1), MAX_TRADES)
        names = [name for name in ("fromId", "startTime", "endTime") if name in request.query_params]
        from_id, start, end = (_whole(request, name, None) for name in ("fromId", "startTime", "endTime"))
        if from_id is not None and len(names) > 1:
            raise Invalid(-1128, "Combination of optional parameters invalid.")
        self._venue.refresh(state.rules.symbol)
        start, end = _millis(start), _millis(end)
        rows = state.trades.from_id(from_id, limit) if from_id is not None else state.trades.between(start, end, limit)
        skew_ms = self._faults.skew_ms()
        return [_agg_row(state.rules, row._replace(time_ms=row.time_ms + skew_ms)) for row in rows]

    async def _trades(self, request: Request) -> list[dict[str, Any]]:
        state = self._state(request)
        limit = min(_whole(request, "limit", 500, least=1), MAX_TRADES)
        self._venue.refresh(state.rules.symbol)
        from_id = _whole(request, "fromId", None)
        fills = [fill for fill in state.trades.fills if from_id is None or fill.trade_id >= from_id]
        return [
            {
                "id": fill.trade_id,
                "price": fill.price,
                "qty": fill.size,
                "quoteQty": f"{float(fill.price) * float(fill.size):.8f}",
                "time": fill.time_ms,
                "isBuyerMaker": fill.buyer_is_maker,
                "isBestMatch": True,
            }
            for fill in (fills[-limit:] if from_id is None else fills[:limit])
        ]

    async def _day(self, request: Request) -> Any:
        mini = request.query_params.get("type", "FULL") == "MINI"
        return await self._each(request, lambda state: day_ticker(state, self._venue.now_ms(), mini=mini))

    async def _price(self, request: Request) -> Any:
        def answer(state: SymbolTruth) -> dict[str, Any]:
            last, touch = state.trades.last(), state.touch()
            price = state.rules.price.text(last.price) if last else touch.bid if touch else "0.00000000"
            return {"symbol": state.rules.symbol, "price": price}

        return await self._each(request, answer)

    async def _book_ticker(self, request: Request) -> Any:
        def answer(state: SymbolTruth) -> dict[str, Any]:
            touch, none = state.touch(), "0.00000000"
            return {
                "symbol": state.rules.symbol,
                "bidPrice": touch.bid if touch else none,
                "bidQty": touch.bid_size if touch else none,
                "askPrice": touch.ask if touch else none,
                "askQty": touch.ask_size if touch else none,
            }

        return await self._each(request, answer)

    async def _each(self, request: Request, answer: Callable[[SymbolTruth], dict[str, Any]]) -> Any:
        """One object for `symbol`, a list for `symbols` or none."""
        chosen = self._chosen(request)
        for state in chosen:
            self._venue.refresh(state.rules.symbol)
        answers = [answer(state) for state in chosen]
        return answers[0] if "symbol" in request.query_params else answers

    def _state(self, request: Request) -> SymbolTruth:
        symbol = request.query_params.get("symbol")
        if not symbol:
            raise Invalid(-1102, "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed.")
        if not self._lists(symbol):
            raise Invalid(-1121, "Invalid symbol.")
        return self._venue.states[symbol]

    def _lists(self, symbol: str) -> bool:
        return symbol in self._venue.states and self._faults.suspension(symbol) != "DELISTED"

    def _chosen(self, request: Request) -> list[SymbolTruth]:
        params = request.query_params
        if "symbol" in params and "symbols" in params:
            raise Invalid(-1128, "Combination of optional parameters invalid.")
        if "symbol" in params:
            return [self._state(request)]
        if "symbols" not in params:
            return [state for name, state in self._venue.states.items() if self._lists(name)]
        try:
            names = json.loads(params["symbols"])
        except ValueError:
            names = None
        if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
            raise Invalid(
                -1100, "Illegal characters found in parameter 'symbols'; legal range is '[\"A-Z0-9-_.\",...]'."
            )
        if not all(map(self._lists, names)):
            raise Invalid(-1121, "Invalid symbol.")
        return [self._venue.states[name] for name in names]


def _whole(request: Request, name: str, default: Any, *, least: int = 0) -> Any:
    text = request.query_params.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 19):
        raise Invalid(-1100, f"Illegal characters found in parameter '{name}'; legal range is '^[0-9]{{1,20}}$'.")
    if int(text) < least:
        raise Invalid(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")
    return int(text)


def _millis(value: int | None) -> int | None:
    """Times may come in microseconds: those have sixteen digits."""
    return value // 1000 if value is not None and value >= 10**15 else value


def _agg_row(rules: Rules, row: AggRow) -> dict[str, Any]:
    return {
        "a": row.agg_id,
        "p": rules.price.text(row.price),
        "q": rules.size.text(row.size),
        "f": row.first_trade_id,
        "l": row.last_trade_id,
        "T": row.time_ms,
        "m": row.buyer_is_maker,
        "M": True,
    }


def _one(_request: Request) -> int:
    return 1


def _depth_weight(request: Request) -> int:
    text = request.query_params.get("limit", "100")
    limit = int(text) if text.isdigit() and len(text) < 10 else 100
    return 5 if limit <= 100 else 25 if limit <= 500 else 50 if limit <= 1000 else 250


def _day_weight(request: Request) -> int:
    if "symbol" in request.query_params:
        return 2
    named = request.query_params.get("symbols")
    return 80 if named is None else 2 if named.count(",") < MAX_SYMBOLS_CHEAP else 40


def _few_or_all(request: Request) -> int:
    return 2 if "symbol" in request.query_params else 4


def _json(body: bytes, status: int, headers: dict[str, str]) -> Response:
    return Response(body, status, headers, media_type="application/json;charset=UTF-8")
