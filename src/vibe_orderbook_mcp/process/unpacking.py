"""Bodies of HTTP answers, unpacked within a bound. Pure.

The bound holds for what comes out of every layer of packing, not for what came over the wire: 64 KB of zeros, packed
twice, are 64 GB. So no layer is unpacked beyond it, and nothing is unpacked by the HTTP client.
"""

from __future__ import annotations

import zlib

# What is asked for. The exchange packs once; a proxy between may pack again.
ACCEPTED = "gzip, deflate"
MOST_LAYERS = 3
_GZIP_BITS, _ZLIB_BITS, _RAW_BITS = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS, -zlib.MAX_WBITS


class NotUnpacked(Exception):
    """The body cannot be unpacked, or not within the bound."""


def unpacked(body: bytes, encodings: str, most_bytes: int) -> bytes:
    """`body` without its layers. `encodings` is the header `Content-Encoding`: in the order in which they were put on.

    Raises NotUnpacked.
    """
    layers = [name for part in encodings.lower().split(",") if (name := part.strip()) not in ("", "identity")]
    if len(layers) > MOST_LAYERS:
        raise NotUnpacked(f"it is packed {len(layers)} times")
    for layer in reversed(layers):
        if layer in ("gzip", "x-gzip"):
            body = _inflated(body, _GZIP_BITS, most_bytes)
        elif layer == "deflate":  # with zlib's frame by the standard, without it by some servers
            is_framed = len(body) > 1 and body[0] & 0x0F == zlib.DEFLATED and int.from_bytes(body[:2]) % 31 == 0
            body = _inflated(body, _ZLIB_BITS if is_framed else _RAW_BITS, most_bytes)
        else:
            raise NotUnpacked("it is packed in a way that was not asked for")
    return body


def _inflated(packed: bytes, bits: int, most_bytes: int) -> bytes:
    """One layer, which may have several members one behind the other (gzip)."""
    out = bytearray()
    while packed:
        inflating = zlib.decompressobj(bits)
        try:
            out += inflating.decompress(packed, most_bytes + 1 - len(out))
        except zlib.error as error:
            raise NotUnpacked("it is damaged") from error
        if len(out) > most_bytes:
            raise NotUnpacked("it is too large")
        if not inflating.eof:
            raise NotUnpacked("it ends too early")
        packed = inflating.unused_data if bits == _GZIP_BITS else b""
    return bytes(out)
