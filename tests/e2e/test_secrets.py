"""The program as users start it, asked by somebody who wants to know too much: what is in its answers and its log."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import httpx
import pytest
from mcp import Client, MCPError
from mcp.client.sse import sse_client

from tests.answers.serving import INSIDE, exchange, text_of
from tests.e2e.processes import Process, environment, free_port, started
from tests.patience import PATIENCE_SECS
from tests.serve.test_http import ACCEPT, INITIALIZE

TOKEN = "open sesame, please"  # noqa: S105  # nobody's
CANARY = "canary-of-the-environment"
FORGED = "BTC\r\n2026-11-23 12:00:00.000 ERROR   forged\x1b[31m\u2028forged"
PATHS = (
    "/",
    "/sse/../metrics",
    "/mcp/%0a%0dforged",
    "/%1b[31mforged",
    "/messages/?session_id=%0aforged",
    "/.env",
    "//etc/passwd",
)


async def asked(url: str, answers: list[str]) -> None:
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    async with httpx.AsyncClient(base_url=url, timeout=PATIENCE_SECS) as http:
        for path in (*PATHS, "/healthz", "/readyz", "/metrics", "/messages/"):
            for headers in (
                {},
                bearer,
                {**bearer, "Origin": FORGED[:3] + "\x1b[31mforged"},
                {"Authorization": f"Bearer {TOKEN[:-1]}"},
            ):
                for method in ("GET", "POST", "DELETE"):
                    response = await http.request(
                        method, path, headers=headers, content=b"{" if method == "POST" else None
                    )
                    answers.append(response.text + str(response.headers))
        for body in (
            b"{",
            b'{"jsonrpc":"2.0","id":1,"method":"\\u001b[31mforged"}',
            json.dumps(INITIALIZE).encode() * 2,
        ):
            headers = {**bearer, **ACCEPT, "Content-Type": "application/json", "Mcp-Session-Id": "x\x1b[31mforged"}
            answers.append((await http.post("/mcp", content=body, headers=headers)).text)
    async with Client(sse_client(f"{url}/sse", headers=bearer)) as client:
        for tool in (await client.list_tools()).tools:
            for arguments in ({"symbol": FORGED}, {"symbol": "NOPEUSDT"}, {FORGED: 1}, {"symbol": "BTCUSDT"}, {}):
                result = await client.call_tool(tool.name, arguments)
                answers.append(text_of(result))
        with pytest.raises(MCPError) as unknown:
            await client.call_tool(FORGED, {})
        answers.append(str(unknown.value.error))


def test_no_answer_and_no_line_of_the_log_tells_a_secret_or_is_forged(tmp_path: Path) -> None:
    async def run() -> tuple[list[str], Process]:
        answers: list[str] = []
        port = free_port()
        async with exchange() as sim:
            env = environment(
                symbols="BTCUSDT", rest_url=sim.rest_url, ws_url=sim.ws_url, data_path=tmp_path / "db",
                backfill_hours=0, auth_token=TOKEN, log_level="DEBUG", log_format="json",
            )  # fmt: skip
            arguments = ("serve", "--transport", "http", "--port", str(port))
            async with started(*arguments, cwd=tmp_path, env={**env, "SOME_SECRET": CANARY}) as process:
                async with httpx.AsyncClient() as http, asyncio.timeout(PATIENCE_SECS):
                    while True:
                        try:
                            if (await http.get(f"http://127.0.0.1:{port}/readyz")).status_code == 200:
                                break
                        except httpx.TransportError:
                            pass
                        await asyncio.sleep(0.1)
                await asked(f"http://127.0.0.1:{port}", answers)
                process.process.terminate()
                await process.ended()
                return answers, process

    answers, process = asyncio.run(run())
    assert len(answers) > 100
    for text in answers:
        assert TOKEN not in text
        assert CANARY not in text
        assert str(tmp_path) not in text
        assert "forged\r" not in text
        assert INSIDE.search(text) is None, text[:300]
    assert len(process.lines) > 10
    for line in process.lines:
        record = json.loads(line)  # each line is a record
        assert TOKEN not in line
        assert CANARY not in line
        assert record["level"] in ("DEBUG", "INFO", "WARNING"), line
        assert "\x1b" not in line
