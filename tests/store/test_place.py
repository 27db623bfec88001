"""Whether a data directory can be opened at all."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from vibe_orderbook_mcp.model.errors import WritingPaused
from vibe_orderbook_mcp.store.disk import place
from vibe_orderbook_mcp.store.disk.place import Place

OPENING = """
import asyncio, resource, sys
from vibe_orderbook_mcp.model.errors import StorageError
from vibe_orderbook_mcp.store.history import History

async def main():
    resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[2]) << 20,) * 2)
    try:
        history = await History.open(sys.argv[1], cap_mb=64, retention_days=7)
    except StorageError as error:
        print(error)
    else:
        await history.close()
        print("opened")

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits of address space are as they are on Linux")
@pytest.mark.parametrize(("limit_mb", "said"), [(250, "Memory does not suffice"), (320, "Memory"), (900, "opened")])
def test_too_little_memory_is_said_in_a_sentence(tmp_path: Path, limit_mb: int, said: str) -> None:
    """RocksDB aborts the process where it cannot start a thread: the books would go with it."""
    done = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", OPENING, str(tmp_path / "data"), str(limit_mb)],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(said)
    assert str(tmp_path) not in done.stdout


@pytest.mark.parametrize("free", [14_999_999, 15_000_000, 18_749_999])
def test_a_nearly_full_disk_is_said_with_the_amount_at_which_writing_resumes(
    tmp_path: Path, free: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rounded to whole megabytes, what is free was what is needed: "15 MB are free, and writing needs 15 MB"."""
    disk = Place(tmp_path, 15_000_000)
    monkeypatch.setattr(place, "free_bytes", lambda _: 14_000_000)
    with pytest.raises(WritingPaused, match=r"14\.0 MB are free, and writing resumes when 18\.8 MB are"):
        disk.check()
    monkeypatch.setattr(place, "free_bytes", lambda _: free)
    with pytest.raises(WritingPaused) as paused:
        disk.check()
    said = [float(word) for word in str(paused.value).split() if word[0].isdigit()]
    assert said == [free // 100_000 / 10, 18.8]
    monkeypatch.setattr(place, "free_bytes", lambda _: 18_750_000)
    disk.check()
