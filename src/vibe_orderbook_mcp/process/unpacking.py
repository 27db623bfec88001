"""Bodies of HTTP answers, unpacked within a bound. Pure.

The bound is for the output of every layer of packing, not for the bytes on the wire: 64 KB of zeros, packed twice,
become 64 GB. So no layer is unpacked beyond it, and the HTTP client unpacks nothing.
"""

from __future__ import annotations

import zlib

# The requested encodings. The exchange packs once; a proxy may pack again.
ACCEPTED = "gzip, deflate"
MOST_LAYERS = 3
_GZIP_BITS, _ZLIB_BITS, _RAW_BITS = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS, -zlib.MAX_WBITS


class NotUnpacked(Exception):
    """The body cannot be unpacked, or not within the bound."""


def unpacked(body: bytes, encodings: str, most_bytes: int) -> bytes:
    """`body` without its layers. `encodings` is the header `Content-Encoding`, in the order of packing.

    Raises NotUnpacked.
    """
    layers = [name for part in encodings.lower().split(",") if (name := part.strip()) not in ("", "identity")]
    if len(layers) > MOST_LAYERS:
        raise NotUnpacked(f"it is packed {len(layers)} times")
    for layer in reversed(layers):
        if layer in ("gzip", "x-gzip"):
            body = _inflated(body, _GZIP_BITS, most_bytes)
        elif layer == "deflate":  # with zlib's frame by the standard; some servers leave it out
            is_framed = len(body) > 1 and body[0] & 0x0F == zlib.DEFLATED and int.from_bytes(body[:2]) % 31 == 0
            body = _inflated(body, _ZLIB_BITS if is_framed else _RAW_BITS, most_bytes)
        else:
            raise NotUnpacked("it has an encoding that was not requested")
    return body


def _inflated(packed: bytes, bits: int, most_bytes: int) -> bytes:
    """One layer, which may consist of several members (gzip)."""
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
