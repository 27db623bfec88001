"""Tool calls nobody meant: for every argument of every tool, values that are right, nearly right, and anything else."""

from __future__ import annotations

import json
import random
from collections import Counter
from typing import Any

from mcp import Client
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS, Tool

from tests.answers.serving import as_text, checked_refusal, text_of

SYMBOLS = ("BTCUSDT", "btc/usdt", "ETH-USDT", " eth usdt ", "WANUSDT", "币安人生USDT", "NOPEUSDT", "SOLUSDT")
TEXTS = (
    *("", " ", "0", "-1", "1e3", "١٢", "NaN", "Infinity", "null", "true", "BTC:USDT", "../../etc/passwd", "%2e%2e%2f"),
    *(
        "BTC\x00USDT",
        "BTC\nUSDT",
        "BTC\r\nERROR forged",
        "\x1b[2J\x1b[31m",
        "\x9b31m",
        "\u202eTDSU",
        "🚀🌕",
        "ﬀ",
        "İ",
        "ß",
    ),
    *("'; DROP TABLE books; --", "{{7*7}}", "${jndi:ldap://x}", "<script>", "{symbol!r}", "%s%n", "\\", '"', "\u2028"),
    *("Ａ" * 20, "A" * 40, "A" * 41, "A" * 10_000, "\ufeffBTCUSDT", "e\u0301" * 9, "\U0010ffff", "BTCUSDT" * 9),
)
NUMBERS = (
    *(0, 1, -1, 5, 10, 20, 60, 168, 169, 300, 301, 1000, 1001, 2**31, 2**53 + 1, 2**63, 2**64, -(2**70), 10**300),
    *(0.0, -0.0, 0.5, 60.0, 60.5, 1e-320, 1e-12, 1e12, 1e13, 1e308, -1e308, 0.1 + 0.2),
)
OTHERS: tuple[Any, ...] = (
    None,
    True,
    False,
    [],
    {},
    [1],
    ["BTCUSDT"],
    {"symbol": "BTCUSDT"},
    [[[[[[]]]]]],
    {"a": {"b": {"c": None}}},
)


SENSIBLE: dict[str, tuple[Any, ...]] = {
    "symbol": SYMBOLS,
    "detail": (True, False, "true", "FALSE"),
    "tick_size": (None, "0.01", 0.5, "1", 100, "1e-9", "12.5"),
}
WINDOWS = (10, 20, 24, 60, 168, "60", 100.0)


def argument(chance: random.Random, name: str) -> Any:
    """Half of them make sense, so that what comes behind the first check is reached too."""
    kind = chance.random()
    if kind < 0.5:
        return chance.choice(SENSIBLE.get(name, WINDOWS))
    if kind < 0.95:
        return chance.choice(chance.choice((TEXTS, NUMBERS, OTHERS)))
    return any_text(chance) if kind < 0.97 else nested(chance, 40)


def any_text(chance: random.Random) -> str:
    return "".join(chr(chance.choice((chance.randrange(0xD800), chance.randrange(0xE000, 0x110000)))) for _ in range(9))


def nested(chance: random.Random, depth: int) -> Any:
    if depth == 0 or chance.random() < 0.05:
        return chance.choice((*TEXTS, *NUMBERS))
    inner = nested(chance, depth - 1)
    return [inner, chance.choice(NUMBERS)] if chance.random() < 0.5 else {chance.choice(TEXTS)[:50]: inner}


def call(chance: random.Random, tools: list[Tool]) -> tuple[str, dict[str, Any]]:
    tool = chance.choice(tools)
    names = list(tool.input_schema.get("properties", {}))
    arguments = {name: argument(chance, name) for name in names if chance.random() < 0.85}
    if chance.random() < 0.05:
        arguments[chance.choice((*TEXTS, "limit", "__class__"))[:60]] = argument(chance, "x")
    name = tool.name if chance.random() > 0.02 else chance.choice((*TEXTS, tool.name.upper()))[:200]
    return name, arguments


async def call_at_random(client: Client, chance: random.Random, calls: int, seen: Counter[str]) -> None:
    """Each is answered, or refused as the interface says. What came is counted in `seen`."""
    tools = (await client.list_tools()).tools
    for _ in range(calls):
        name, arguments = call(chance, tools)
        try:
            result = await client.call_tool(name, arguments)
        except MCPError as error:  # the protocol's own answer to a name that no tool has
            if error.error.code != INVALID_PARAMS or name in {tool.name for tool in tools}:
                raise
            seen["unknown tool"] += 1
            continue
        except Exception as error:
            error.add_note(f"{name} {arguments!r}")
            raise
        if result.is_error:
            try:
                seen[checked_refusal(result)["code"]] += 1
            except AssertionError as error:
                error.add_note(f"{name} {arguments!r}: {text_of(result)}")
                raise
        else:
            assert json.loads(text_of(result)) == as_text(result.structured_content or {})
            seen["answered"] += 1
