"""Kraken's public REST interface, as far as this product asks it: one pair with trades by time, and its limits."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from urllib.parse import parse_qs, urlsplit

PAIRS = {
    "XXBTZUSD": {
        "altname": "XBTUSD",
        "wsname": "XBT/USD",
        "pair_decimals": 1,
        "lot_decimals": 8,
        "tick_size": "0.1",
        "status": "online",
    },
    "XDGUSD": {
        "altname": "XDGUSD",
        "wsname": "XDG/USD",
        "pair_decimals": 7,
        "lot_decimals": 8,
        "tick_size": "0.0000001",
        "status": "cancel_only",
    },
    "ODDUSD": {"altname": "ODDUSD", "wsname": "ODD/USD"},  # an entry that cannot be read
}
PAGE = 1000


class Exchange:
    """`times_ns` has the time of each trade; ids count from 1."""

    def __init__(self, times_ns: list[int]) -> None:
        self.url = ""
        self.times_ns = times_ns
        self.asked: list[str] = []
        self.came = 0
        self.gone = asyncio.Semaphore(0)
        self.answer: Callable[[str], tuple[str, bytes]] | None = None  # instead of the ones below

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._answer_all(reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
            self.gone.release()

    async def _answer_all(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.came += 1
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                target = head.split()[1].decode()
                self.asked.append(target)
                status, body = self.answer(target) if self.answer else ("200 OK", self._body(target))
                writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
                await writer.drain()

    def _body(self, target: str) -> bytes:
        url = urlsplit(target)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        name = url.path.removeprefix("/0/public/")
        if name == "AssetPairs":
            return answer(PAIRS)
        if name == "Time":
            return answer({"unixtime": 1_785_542_400, "rfc1123": "Sat, 01 Aug 26 00:00:00 +0000"})
        if name != "Trades" or query["pair"] != "XBTUSD":
            return answer({}, "EQuery:Unknown asset pair")
        since, count = query.get("since"), int(query.get("count", PAGE))
        ids = range(1, len(self.times_ns) + 1)
        if since is None:
            chosen = list(ids)[-count:]
        else:
            chosen = [trade_id for trade_id in ids if self.times_ns[trade_id - 1] > int(since)][:count]
        rows = ",".join(
            f'["100.{trade_id % 10}","0.50000000",{self.times_ns[trade_id - 1] / 1e9:.9f},'
            f'"{"s" if trade_id % 2 else "b"}","m","",{trade_id}]'
            for trade_id in chosen
        )
        last = self.times_ns[chosen[-1] - 1] if chosen else since
        return b'{"error":[],"result":{"XXBTZUSD":[%b],"last":"%d"}}' % (rows.encode(), int(last or 0))


def answer(result: object, *errors: str) -> bytes:
    return json.dumps({"error": list(errors), "result": result}).encode()


@contextlib.asynccontextmanager
async def exchange(times_ns: list[int] | None = None) -> AsyncIterator[Exchange]:
    serving = Exchange(times_ns or [])
    server = await asyncio.start_server(serving.serve, "127.0.0.1", 0)
    serving.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield serving
    finally:
        server.close()
        for _ in range(serving.came):  # its clients have closed their connections
            await serving.gone.acquire()
