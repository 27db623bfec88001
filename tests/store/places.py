"""Data directories for tests: opened, and with something in them."""

from __future__ import annotations

from pathlib import Path

from tests.store.values import START, batch, record
from vibe_orderbook_mcp.store.history import History


async def opened(path: Path) -> History:
    return await History.open(path, cap_mb=64, retention_days=7)


async def filled(path: Path, seconds: int = 300) -> Path:
    """A database with table files, closed."""
    history = await opened(path)
    for second in range(START, START + seconds):
        await history.append([record(second)], [batch(second - START)])
    database = history._database
    assert database is not None
    database.flush()
    await history.close()
    return path


def tables(path: Path) -> set[str]:
    return {file.name for file in path.glob("*.sst")}
