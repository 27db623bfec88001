"""The process dies, or is not alone: real processes on one data directory."""

from __future__ import annotations

import asyncio
import re
import sys
import time
from pathlib import Path

import pytest
from mcp import Client

from tests.e2e.faults.rig import exchange
from tests.e2e.processes import environment, free_port, ready, started
from tests.e2e.rig import until
from tests.outcomes import Outcome
from tests.patience import PATIENCE_SECS
from vibe_orderbook_mcp.sim import SimExchange
from vibe_orderbook_mcp.store.history import History

ROOT = Path(__file__).parents[2]
SYMBOL = "BTCUSDT"
FOREVER = 10**10


def fault(name: str, promise: str) -> pytest.MarkDecorator:
    return pytest.mark.fault(part="process", fault=name, promise=promise)


@fault("killed three times at random moments", "every directory opens; no acknowledged second, and no trade, is lost")
def test_killed_again_and_again_it_loses_nothing_that_it_said_was_stored(outcome: Outcome) -> None:
    """`scripts/kill_rounds` with few rounds: it holds the store against the log and the exchange's own trades."""

    async def run() -> str:
        script = await asyncio.create_subprocess_exec(
            sys.executable, str(ROOT / "scripts" / "kill_rounds"), "--rounds", "3", "--seed", "4", cwd=ROOT,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, err = await asyncio.wait_for(script.communicate(), 4 * PATIENCE_SECS)
        assert script.returncode == 0, (out + err).decode()
        return out.decode()

    said = asyncio.run(run())
    assert re.search(r"seconds acknowledged: [1-9]\d*, lost: 0\n", said), said
    slowest = re.search(r"next stored second: .*\(at most ([\d.]+) s\)", said)
    assert slowest is not None, said
    outcome.recovered(float(slowest[1]), saw="nobody answers; then live, with the seconds missing in which it was dead")


def server_environment(sim: SimExchange, path: Path) -> dict[str, str]:
    return environment(rest_url=sim.rest_url, ws_url=sim.ws_url, data_path=path, symbols=SYMBOL, backfill_hours=1)


async def storage(client: Client) -> str:
    result = await client.call_tool("orderbook_health", {})
    assert result.structured_content is not None
    return str(result.structured_content["storage"])


@fault("the recording process is killed, another waits", "the other reads its history and records on within seconds")
def test_a_process_beside_one_that_is_killed_takes_over(tmp_path: Path, outcome: Outcome) -> None:
    """Claude Desktop's process beside the HTTP server, which dies without a word."""

    async def run() -> None:
        path, ports = tmp_path / "db", (free_port(), free_port())
        async with exchange() as sim:
            env = server_environment(sim, path)
            serve = ("serve", "--transport", "http", "--port")
            async with started(*serve, str(ports[0]), cwd=tmp_path, env=env) as first:
                await ready(f"http://127.0.0.1:{ports[0]}")
                async with started(*serve, str(ports[1]), cwd=tmp_path, env=env) as second:
                    await until(lambda: second.count("this one reads its history") == 1)
                    await until(lambda: first.count(f"Stored snapshot for {SYMBOL}") >= 3)
                    async with Client(f"http://127.0.0.1:{ports[1]}/mcp") as client:
                        assert await storage(client) == "read_only"
                        assert not (await client.call_tool("orderbook_l1", {"symbol": SYMBOL})).is_error
                        await first.stop()  # SIGKILL
                        over = time.monotonic()
                        await until(lambda: second.count(f"Stored snapshot for {SYMBOL}") >= 1)
                        secs = time.monotonic() - over
                        assert await storage(client) == "recording"
                    assert second.count("this one records now") == 1
                    await ready(f"http://127.0.0.1:{ports[1]}")
                    acknowledged = stored_seconds(first.lines) | stored_seconds(second.lines)
                    history = await History.open_secondary(path)
                    await until_whole(history)
                    held = {second for second, _ in await history.snapshots(SYMBOL, 0, FOREVER)}
                    await history.close()
                    assert acknowledged <= held
                assert second.count("Traceback") == 0
        outcome.recovered(secs, saw="live when asked; history readable, health says read_only")

    asyncio.run(run())


def stored_seconds(lines: list[str]) -> set[int]:
    return {int(line.rsplit(" at ", 1)[1]) for line in lines if f"Stored snapshot for {SYMBOL} at " in line}


async def until_whole(history: History) -> None:
    """No trade is missing: those between the two processes were fetched by id."""
    async with asyncio.timeout(PATIENCE_SECS):
        while len(await history.ids(SYMBOL)) != 1:
            await asyncio.sleep(0.1)
