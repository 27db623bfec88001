"""The meaning of each field of each answer, as text, made from the answers' models.

Clients get it as the resource `figures://all`. The list of tools has only the common fields of all answers, because a
model pays for that list in every conversation.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import UnionType
from typing import Any, Final, Union, get_args, get_origin

from pydantic import BaseModel

from vibe_orderbook_mcp.analytics.results import Envelope, Window, WindowedEnvelope
from vibe_orderbook_mcp.answers.tools import TOOLS

HEAD: Final = tuple(Envelope.model_fields)
WINDOW: Final = tuple(name for name in WindowedEnvelope.model_fields if name not in HEAD)

# The output schema of every tool: the common fields, and open for others.
HEAD_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        **{name: {"type": "string"} for name in ("symbol", "as_of", "status", "summary")},
        "warnings": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["symbol", "as_of", "status", "summary", "warnings"],
}


def fields_text(prefix: str = "") -> str:
    """A line for each field: `name`: meaning and unit. `prefix` stands before the names of the tools."""
    parts = [_section("Every answer", _lines(Envelope)), _section("window, if an answer has one", _lines(Window))]
    parts += [_section(prefix + tool.name, _lines(tool.answer, skipped=(*HEAD, *WINDOW))) for tool in TOOLS]
    return "\n\n".join(parts) + "\n"


def _section(title: str, lines: Iterator[str]) -> str:
    return "\n".join([f"## {title}", *lines])


def _lines(model: type[BaseModel], path: str = "", skipped: tuple[str, ...] = ()) -> Iterator[str]:
    for key, field in model.model_fields.items():
        if key in skipped:
            continue
        name = field.alias or key  # its name in the JSON
        inner = _model_in(field.annotation)
        is_list = inner is not None and get_origin(_plain(field.annotation)) is list
        about = field.description or (inner.__doc__ or "").partition("\n")[0] if inner else field.description or ""
        yield f"* `{path}{name}{'[]' if is_list else ''}`: {about}"
        if inner is not None:
            yield from _lines(inner, f"{path}{name}{'[]' if is_list else ''}.")


def _plain(annotation: Any) -> Any:
    """The type beside None."""
    if get_origin(annotation) in (Union, UnionType):
        return next((part for part in get_args(annotation) if part is not type(None)), None)
    return annotation


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model of a field, single or in a list."""
    plain = _plain(annotation)
    if isinstance(plain, type) and issubclass(plain, BaseModel):
        return plain
    for part in get_args(plain):
        if (found := _model_in(part)) is not None:
            return found
    return None
