from __future__ import annotations

import gzip
import tracemalloc
import zlib

import pytest

from vibe_orderbook_mcp.process.unpacking import MOST_LAYERS, NotUnpacked, unpacked

BODY = b'{"lastUpdateId":7}' * 50
MOST = 100_000


@pytest.mark.parametrize(
    ("encodings", "packed"),
    [
        ("", BODY),
        ("identity", BODY),
        ("gzip", gzip.compress(BODY)),
        ("X-GZIP", gzip.compress(BODY)),
        ("deflate", zlib.compress(BODY)),
        ("deflate", zlib.compress(BODY, wbits=-15)),
        ("deflate, gzip", gzip.compress(zlib.compress(BODY))),
        ("gzip,gzip", gzip.compress(gzip.compress(BODY))),
        ("gzip", gzip.compress(BODY[:100]) + gzip.compress(BODY[100:])),
    ],
    ids=range(9),
)
def test_a_body_is_unpacked_layer_by_layer(encodings: str, packed: bytes) -> None:
    assert unpacked(packed, encodings, MOST) == BODY


def test_no_layer_is_unpacked_beyond_the_bound() -> None:
    """A few kilobytes of zeros, packed twice, are gigabytes; what was checked before was what came out at the end."""
    once = gzip.compress(b"0" * 50_000_000)
    twice = gzip.compress(once)
    members = b"".join(gzip.compress(b"0" * 60_000) for _ in range(3))
    tracemalloc.start()
    try:
        for encodings, packed in (("gzip", once), ("gzip, gzip", twice), ("gzip", members)):
            with pytest.raises(NotUnpacked, match="too large"):
                unpacked(packed, encodings, MOST)
        assert tracemalloc.get_traced_memory()[1] < 20 * MOST
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("encodings", "packed"),
    [
        ("gzip", BODY),
        ("gzip", gzip.compress(BODY)[:-20]),
        ("br", BODY),
        ("gzip, br", BODY),
        (", ".join(["gzip"] * (MOST_LAYERS + 1)), BODY),
        ("deflate", b"x"),
    ],
    ids=range(6),
)
def test_what_cannot_be_unpacked_is_refused(encodings: str, packed: bytes) -> None:
    with pytest.raises(NotUnpacked):
        unpacked(packed, encodings, MOST)
