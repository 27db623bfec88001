"""Lines of recordings in every form that is promised, and what happens to those in any other."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from vibe_orderbook_mcp.frames.lines import RecordedLine, read_lines, with_answers
from vibe_orderbook_mcp.model.errors import ConfigError

FRAME = b'{"stream":"btcusdt@trade","data":{}}'


def lines_of(path: Path, content: bytes) -> tuple[list[RecordedLine], list[str]]:
    path.write_bytes(content)
    said: list[str] = []
    return list(read_lines(path, said.append)), said


@pytest.mark.parametrize(
    ("stamp", "received_ns"),
    [
        (b"1723161256", 1_723_161_256_000_000_000),
        (b"1723161256172", 1_723_161_256_172_000_000),
        (b"1723161256172210", 1_723_161_256_172_210_000),
        (b"1723161256172210766", 1_723_161_256_172_210_766),
        (b"1723161256.172210766", 1_723_161_256_172_210_766),
        (b"1723161256.9999999999", 1_723_161_256_999_999_999),  # cut: rounded it would be the next second
        (b"1633998274.723671:", 1_633_998_274_723_671_000),
        (b"1633998274:", 1_633_998_274_000_000_000),
        (b"1723161256172.5", 1_723_161_256_172_500_000),
    ],
)
@pytest.mark.parametrize("gap", [b" ", b"\t", b"  "])
def test_the_digits_of_a_time_say_its_unit(tmp_path: Path, stamp: bytes, received_ns: int, gap: bytes) -> None:
    """Three of four public recordings were read as nanoseconds and ran 1000 times too fast."""
    found, said = lines_of(tmp_path / "x", stamp + gap + FRAME + b"\n")
    assert [(line.received_ns, line.frame) for line in found] == [(received_ns, FRAME)]
    assert said == []


def test_units_may_differ_from_line_to_line(tmp_path: Path) -> None:
    content = b"1723161256 %b\n1723161256500 %b\r\n\n%b\n" % (FRAME, FRAME, FRAME)
    found, _ = lines_of(tmp_path / "x", content)
    assert [(line.number, line.received_ns) for line in found] == [
        (1, 1_723_161_256_000_000_000),
        (2, 1_723_161_256_500_000_000),
        (4, None),
    ]


def test_the_text_of_cryptofeed_is_read_with_its_addresses(tmp_path: Path) -> None:
    content = (
        b"wss://stream.binance.us:9443/stream <-> 1633998274.5\n"
        b'wss://stream.binance.us:9443/stream <- 1633998274.6: {"method":"SUBSCRIBE"}\n'
        b"1633998274.7: " + FRAME + b"\n"
        b'https://api.binance.us/api/v3/depth?symbol=A -> 1633998274.8: {"lastUpdateId":1}\n'
        b'configuration: {"trades":["A"]}\n'
    )
    found, _ = lines_of(tmp_path / "x.gz", gzip.compress(content))
    assert [(line.number, line.url, line.is_answer, line.frame) for line in found] == [
        (3, "wss://stream.binance.us:9443/stream", False, FRAME),
        (4, "https://api.binance.us/api/v3/depth?symbol=A", True, b'{"lastUpdateId":1}'),
    ]
    assert [line.connection for line in found] == [1, 1]
    again, _ = lines_of(tmp_path / "y", content + b"wss://stream.binance.us/x <-> 1633998279.5\n1633998280: {}\n")
    assert [(line.url, line.connection) for line in again[2:]] == [("wss://stream.binance.us/x", 2)]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"hello world\n", "line 1, is not a line of a recording"),
        (b"172316125617 " + FRAME + b"\n", "a time of 12 digits"),
        (b"12 {}\n", "a time of 2 digits"),
        (b"1723161256\n", "is not a line"),
        (b"\x00\x01\x02\xff\n", "is not a line"),
        (b"PK\x03\x04\n", "is not a line"),
        (FRAME + b"\n-1 {}\n", "line 2, is not a line"),
    ],
)
def test_other_lines_are_refused_with_what_is_taken(tmp_path: Path, content: bytes, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        lines_of(tmp_path / "x", content)
    assert "10, 13, 16 or 19 digits" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_cut_gz_is_read_up_to_the_cut_wherever_it_is(tmp_path: Path) -> None:
    """What a process that is killed leaves behind."""
    whole = gzip.compress(b"".join(b"1723161256 {%d: 1}\n" % n for n in range(3000)), compresslevel=1)
    before = 0
    for end in [*range(0, len(whole) - 8, 997), len(whole) - 4]:
        found, said = lines_of(tmp_path / "x.gz", whole[:end])
        assert [line.frame for line in found] == [b"{%d: 1}" % n for n in range(len(found))]
        assert len(found) >= before
        before = len(found)
        assert end < 2 or said == [f"x.gz is cut after line {len(found)}: what comes before the cut is used."]
    assert before == 3000


def test_damage_inside_a_gz_ends_it_there_or_is_said(tmp_path: Path) -> None:
    whole = gzip.compress(b"".join(b"1723161256 {%d: 1}\n" % n for n in range(30_000)))
    for place in range(len(whole) // 10, len(whole), len(whole) // 10):
        damaged = bytearray(whole)
        damaged[place] ^= 0xFF
        said: list[str] = []
        try:
            said = lines_of(tmp_path / "x.gz", bytes(damaged))[1]
        except ConfigError as error:
            said.append(str(error))
        assert len(said) == 1
        assert said[0].startswith("x.gz")


def test_a_last_line_that_was_torn_is_left_out(tmp_path: Path) -> None:
    content = b"1723161256 {}\n1723161257 " + FRAME
    assert len(lines_of(tmp_path / "x", content)[0]) == 2  # only its end of line is missing
    for cut in range(1, len(FRAME)):
        found, said = lines_of(tmp_path / "x", content[:-cut])
        assert [line.frame for line in found] == [b"{}"]
        assert said == ["x ends within line 2: what comes before it is used."]


def test_rest_answers_beside_a_file_of_frames_are_found(tmp_path: Path) -> None:
    names = ("A.ws.1.0.gz", "A.ws.2.0.gz", "A.http.0.0.gz", "A.http.1.0.gz", "B.http.0.0", "A.0.gz")
    files = [tmp_path / name for name in names]
    for path in files:
        path.write_bytes(b"")
    assert with_answers(files[:2]) == files[:4]
    assert with_answers([files[0], files[3]]) == [files[0], files[3], files[2]]
    with pytest.raises(ConfigError, match="no recording"):
        with_answers([tmp_path])
