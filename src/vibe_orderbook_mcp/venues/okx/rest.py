"""OKX's public REST endpoints."""

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
from vibe_orderbook_mcp.venues.okx import messages
from vibe_orderbook_mcp.venues.okx.messages import Contract, OkxInstrument

REQUEST_SECS: Final = 0.11  # each endpoint allows 20 requests in 2 s to an address
PAGE_TRADES: Final = 100
KINDS: Final = ("SPOT", "SWAP")
NO_ERROR, LIMITED, NO_SUCH = "0", "50011", "51001"


class OkxRest(SpacedClient):
    """See `venues.contract.Rest`. Methods raise ExchangeUnavailable, RateLimited or SymbolUnknown, nothing else."""

    def __init__(
        self, base_url: str, *, timeout_secs: float = TIMEOUT_SECS, request_secs: float = REQUEST_SECS
    ) -> None:
        super().__init__(base_url, timeout_secs=timeout_secs, request_secs=request_secs)
        self._contracts: dict[str, Contract] = {}

    async def symbol(self, symbol: str, *, is_lookup: bool = False) -> SymbolSpec:
        return (await self._instrument(symbol, is_lookup=is_lookup)).spec()

    async def listing(self, symbol: str) -> tuple[str, SymbolSpec]:
        instrument = await self._instrument(symbol)
        return instrument.status_word, instrument.spec()

    async def all_symbols(self) -> Listing:
        entries: list[Listed] = []
        for kind in KINDS:
            found = await self._instruments("the exchange's list", instType=kind)
            entries += [listed for each in found if (listed := each.listed()) is not None]
        return Listing(entries, read_secs=time.monotonic())

    async def server_time_ms(self) -> int:
        return messages.parse_time(await self._get("public/time"))

    async def agg_trades(self, symbol: str, from_id: int | None, *, is_older: bool = False) -> list[Trade]:
        """Pages go back from an id that is not on them. Ids are consecutive, so that is a page from `from_id` on."""
        contract = self._contracts.get(symbol)
        if contract is None:
            contract = Contract.of(await self.symbol(symbol))
        query: dict[str, str | int] = {"instId": symbol, "type": 1, "limit": PAGE_TRADES}
        if from_id is not None:
            query["after"] = from_id + PAGE_TRADES
        rows = await self._get("market/history-trades", query, symbol=symbol, is_older=is_older)
        page, skipped = messages.parse_page(rows, contract)
        if skipped:
            self.note_skipped("trades", symbol, skipped)
        return [trade for trade in page if from_id is None or trade.agg_id >= from_id]

    async def _instrument(self, symbol: str, *, is_lookup: bool = False) -> OkxInstrument:
        kind = "SWAP" if symbol.endswith("-SWAP") else "SPOT"
        found = await self._instruments(symbol, symbol, is_lookup=is_lookup, instType=kind, instId=symbol)
        for instrument in found:
            if instrument.inst_id == symbol:
                self._contracts[symbol] = Contract.of(instrument.spec())
                return instrument
        raise SymbolUnknown(symbol)

    async def _instruments(
        self, what: str, symbol: str | None = None, *, is_lookup: bool = False, **query: str
    ) -> list[OkxInstrument]:
        rows = await self._get("public/instruments", query, symbol=symbol, is_lookup=is_lookup)
        found, skipped = messages.parse_instruments(rows)
        if skipped:
            self.note_skipped("symbols", what, skipped)
        return found

    async def _get(
        self,
        name: str,
        query: dict[str, str] | dict[str, str | int] | None = None,
        *,
        symbol: str | None = None,
        is_lookup: bool = False,
        is_older: bool = False,
    ) -> list[msgspec.Raw]:
        """The rows of an answer. Errors have a code of the venue, with the HTTP status 200 or another."""
        answer = await self.ask(f"/api/v5/{name}", query or {}, is_lookup=is_lookup, is_older=is_older)
        try:
            code, words, rows = messages.parse_answer(answer.body)
        except ExchangeUnavailable as error:
            raise (self.fail(error) if answer.status == HTTP_OK else self.refused(answer, "no JSON")) from error
        if code == LIMITED:
            raise self.limited()
        if code == NO_SUCH and symbol is not None:
            raise SymbolUnknown(symbol)
        if code != NO_ERROR or answer.status != HTTP_OK:
            raise self.refused(answer, f"{code}: {words}")
        return rows
