"""What a model is shown in every conversation stays small, and what it leaves out can be read."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
from mcp import Client
from mcp_types import TextResourceContents
from pydantic import BaseModel

from tests.answers.serving import Mode, exchange, serving
from vibe_orderbook_mcp.answers.contract import Answers
from vibe_orderbook_mcp.answers.fields import HEAD_SCHEMA
from vibe_orderbook_mcp.answers.tools import REQUIRED, TOOLS

ANSWERS = {tool.name: tool.answer for tool in TOOLS}
MOST_CHARACTERS_A_TOOL = 1_250
MOST_CHARACTERS = 10_000


@pytest.mark.anyio
@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_the_list_of_tools_is_small(mode: Mode, tmp_path: Path) -> None:
    """Output schemas of all fields made it 62,600 characters, some 15,000 tokens a conversation."""
    async with serving(tmp_path / "db", exchange(), mode=mode) as (_, _server, client):
        sizes = {
            tool.name: len(tool.model_dump_json(by_alias=True, exclude_none=True))
            for tool in (await client.list_tools()).tools
        }
        assert {name: size for name, size in sizes.items() if size > MOST_CHARACTERS_A_TOOL} == {}
        assert sum(sizes.values()) <= MOST_CHARACTERS


@pytest.mark.anyio
async def test_the_list_may_be_kept_for_an_hour(tmp_path: Path) -> None:
    async with serving(tmp_path / "db", exchange()) as (_, _server, client):
        listed = await client.list_tools()
        assert (listed.ttl_ms, listed.cache_scope) == (3_600_000, "public")


@pytest.mark.anyio
async def test_every_field_of_every_answer_can_be_read_about(tmp_path: Path) -> None:
    """Made from the models, so none can be missing; this looks at their names from outside."""
    async with serving(tmp_path / "db", exchange()) as (_, _server, client):
        text = await read(client)
    assert "## window" in text
    for tool, model in ANSWERS.items():
        section = text.partition(f"## {tool}\n")[2].partition("\n## ")[0] + text.partition("## orderbook_l1")[0]
        for name, field in model.model_fields.items():
            assert f"`{field.alias or name}" in section or name == "window", (tool, name)
            assert field.description, (tool, name)
    assert all(line.rstrip()[-1] != ":" for line in text.splitlines() if line.startswith("*"))


def test_the_table_of_tools_is_what_answers_can_be_asked() -> None:
    """A tool without a method would fail at its first call, a method without a tool is never called."""
    methods = {name: method for name, method in vars(Answers).items() if inspect.iscoroutinefunction(method)}
    assert list(methods) == [tool.name for tool in TOOLS]
    for tool in TOOLS:
        signature = inspect.signature(methods[tool.name])
        taken = {name: each.default for name, each in signature.parameters.items() if name != "self"}
        empty = inspect.Parameter.empty
        assert taken == {each.name: empty if each.default is REQUIRED else each.default for each in tool.parameters}
        assert signature.return_annotation == tool.answer.__name__


async def read(client: Client) -> str:
    (only,) = (await client.read_resource("figures://all")).contents
    assert isinstance(only, TextResourceContents)
    assert only.mime_type == "text/markdown"
    return only.text


def test_the_common_head_is_what_every_answer_begins_with() -> None:
    for model in ANSWERS.values():
        assert issubclass(model, BaseModel)
        assert set(HEAD_SCHEMA["required"]) <= set(model.model_fields)
