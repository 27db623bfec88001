"""Bybit's public REST endpoints."""

from __future__ import annotations

import time
from typing import Final

import msgspec

from vibe_orderbook_mcp.model.errors import ExchangeUnavailable, SymbolUnknown
from vibe_orderbook_mcp.model.events import Trade
from vibe_orderbook_mcp.model.listed import Listed, Listing
from vibe_orderbook_mcp.model.symbol import SymbolSpec
from vibe_orderbook_mcp.process.asking import HTTP_OK, SpacedClient
from vibe_orderbook_mcp.process.web import TIMEOUT_SECS
from vibe_orderbook_mcp.venues.bybit import messages
from vibe_orderbook_mcp.venues.bybit.messages import BybitInstrument, Market

REQUEST_SECS: Final = 0.05  # an address may send 600 requests in 5 s
PAGE_SYMBOLS: Final = 1000
MOST_PAGES: Final = 10
NO_ERROR, INVALID = 0, 10001
LIMITED: Final = (10006, 10018)


class BybitRest(SpacedClient):
    """See `venues.contract.Rest`. Methods raise ExchangeUnavailable, RateLimited or SymbolUnknown, nothing else."""

    def __init__(
        self, base_url: str, market: Market, *, timeout_secs: float = TIMEOUT_SECS, request_secs: float = REQUEST_SECS
    ) -> None:
        super().__init__(base_url, timeout_secs=timeout_secs, request_secs=request_secs)
        self._market: Market = market

    async def symbol(self, symbol: str, *, is_lookup: bool = False) -> SymbolSpec:
        return (await self._instrument(symbol, is_lookup=is_lookup)).spec()

    async def listing(self, symbol: str) -> tuple[str, SymbolSpec]:
        instrument = await self._instrument(symbol)
        return instrument.status_word, instrument.spec()

    async def all_symbols(self) -> Listing:
        """Contracts come in pages, spot comes whole."""
        entries: list[Listed] = []
        cursor = ""
        for _ in range(MOST_PAGES):
            query: dict[str, str | int] = {"limit": PAGE_SYMBOLS}
            if cursor:
                query["cursor"] = cursor
            found, cursor = await self._instruments("the exchange's list", query)
            entries += [listed for each in found if (listed := each.listed()) is not None]
            if not cursor:
                break
        return Listing(entries, read_secs=time.monotonic())

    async def server_time_ms(self) -> int:
        return messages.parse_time(await self._get("time", {}))

    async def agg_trades(self, symbol: str, from_id: int | None, *, is_older: bool = False) -> list[Trade]:
        """The exchange has no page of trades by their ids: the traits say so, and nothing asks."""
        raise ExchangeUnavailable("The exchange gives no trades by their ids.")

    async def _instrument(self, symbol: str, *, is_lookup: bool = False) -> BybitInstrument:
        found, _ = await self._instruments(symbol, {"symbol": symbol}, symbol=symbol, is_lookup=is_lookup)
        for instrument in found:
            if instrument.symbol == symbol:
                return instrument
        raise SymbolUnknown(symbol)

    async def _instruments(
        self, what: str, query: dict[str, str | int], *, symbol: str | None = None, is_lookup: bool = False
    ) -> tuple[list[BybitInstrument], str]:
        """A page, and where the next one begins."""
        query = {"category": self._market, **query}
        result = await self._get("instruments-info", query, symbol=symbol, is_lookup=is_lookup)
        found, skipped, cursor = messages.parse_instruments(result)
        if skipped:
            self.note_skipped("symbols", what, skipped)
        return found, cursor

    async def _get(
        self, name: str, query: dict[str, str | int], *, symbol: str | None = None, is_lookup: bool = False
    ) -> msgspec.Raw:
        """The result of an answer. Errors have a code of the venue, with the HTTP status 200 or another."""
        answer = await self.ask(f"/v5/market/{name}", query, is_lookup=is_lookup)
        try:
            said = messages.parse_answer(answer.body)
        except ExchangeUnavailable as error:
            raise (self.fail(error) if answer.status == HTTP_OK else self.refused(answer, "no JSON")) from error
        if said.ret_code in LIMITED:
            raise self.limited()
        if said.ret_code == INVALID and symbol is not None:
            raise SymbolUnknown(symbol)
        if said.ret_code != NO_ERROR or answer.status != HTTP_OK:
            raise self.refused(answer, f"{said.ret_code}: {said.ret_msg}")
        return said.result
