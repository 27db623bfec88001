"""`verify` against a second, slow computation, on whole recordings and on damaged ones."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path
from typing import Any

import pytest

from tests.made import frames
from tests.verify import slow
from vibe_orderbook_mcp.model.errors import ConfigError
from vibe_orderbook_mcp.verify.book_check import Top
from vibe_orderbook_mcp.verify.command import verify_to_text
from vibe_orderbook_mcp.verify.recording import Found, verify_files

SYMBOLS = ("BTCUSDT", "ADAUSDT")
COUNTS = ("frames", "applied", "gaps", "crossed", "checked", "failed", "trades", "trade_ids_missing")


def found_in(path: Path, lines: list[dict[str, Any]]) -> tuple[Found, list[Top]]:
    path.write_bytes(gzip.compress(slow.text(lines).encode(), compresslevel=1))
    tops: list[Top] = []
    return verify_files([path], top=tops.append), tops


def assert_equal(found: Found, tops: list[Top], lines: list[dict[str, Any]]) -> None:
    expected = slow.verified(lines)
    assert [one["instrument"] for one in found.instruments] == sorted(expected)
    for one in found.instruments:
        slowly = expected[one["instrument"]]
        assert {name: one[name] for name in COUNTS} == {name: slowly[name] for name in COUNTS}
        mine = [json.loads(json.dumps(top._asdict())) for top in tops if top.instrument == one["instrument"]]
        assert mine == slowly["tops"]
        first = sorted({fault["line"] for fault in one["faults"]})
        assert first == sorted(slowly["faults"])[: len(first)]
        assert len(one["faults"]) == 20 or len(first) == len(slowly["faults"])
    sound = all(not slowly[name] for slowly in expected.values() for name in ("gaps", "crossed", "failed"))
    assert found.is_sound == (sound and not any(each["trade_ids_missing"] for each in expected.values()))


def depth_places(lines: list[dict[str, Any]], symbol: str) -> list[int]:
    """Frames of the book that can be proved: not the first ones of their symbol."""
    stream = f"{symbol.lower()}@depth@100ms"
    return [place for place, line in enumerate(lines) if line.get("stream") == stream][20:-5]


def test_a_whole_recording_is_sound_and_every_top_is_the_slow_one(tmp_path: Path) -> None:
    lines = frames(*SYMBOLS)
    found, tops = found_in(tmp_path / "x.gz", lines)
    assert_equal(found, tops, lines)
    assert found.is_sound
    for one in found.instruments:
        assert one["applied"] > 50
        assert one["checked"] == one["applied"]
        assert one["faults"] == []
        assert one["proof"]["book"] == "update_ids"
        last = [top for top in tops if top.instrument == one["instrument"]][-1]
        assert (one["best_bid"], one["best_ask"]) == (last.bid and last.bid[0], last.ask and last.ask[0])


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("damage", ["drop", "swap", "double", "level", "trade"])
def test_damage_is_found_at_the_first_frame_where_it_can_be(tmp_path: Path, damage: str, seed: int) -> None:
    chance = random.Random(f"{damage} {seed}")
    lines = frames(*SYMBOLS)
    symbol = chance.choice(SYMBOLS)
    places = depth_places(lines, symbol)
    place = chance.choice(places)
    following = places[places.index(place) + 1] if place != places[-1] else None
    line: int | None = None
    if damage == "drop":
        del lines[place]
        line = following  # one line earlier now, and counted from 1
    elif damage == "swap" and following is not None:
        lines[place], lines[following] = lines[following], lines[place]
        line = place + 1
    elif damage == "double":
        lines.insert(place, lines[place])
        line = place + 2
    elif damage == "level":
        best = chance.choice("ba")
        lines[place]["data"][best] = [[price, "7.77000000"] for price, _ in lines[place]["data"][best]]
    elif damage == "trade":
        kind = chance.choice(("aggTrade", "trade"))
        trades = [at for at, each in enumerate(lines) if each.get("stream") == f"{symbol.lower()}@{kind}"]
        if len(trades) < 4:
            return
        at = chance.randrange(1, len(trades) - 1)
        del lines[trades[at]]
        line = trades[at + 1]
    found, tops = found_in(tmp_path / "x.gz", lines)
    assert_equal(found, tops, lines)
    one = next(each for each in found.instruments if each["instrument"] == symbol)
    if line is not None:
        assert one["faults"][0]["line"] == line
        assert found.is_sound == (damage == "double")  # sizes are absolute: a frame that comes again changes nothing


@pytest.mark.parametrize("seed", range(4))
def test_many_damages_at_once_are_counted_as_the_slow_way_counts_them(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    lines = [line for line in frames(*SYMBOLS) if chance.random() > 0.03]
    for _ in range(10):
        one, other = chance.randrange(len(lines)), chance.randrange(len(lines))
        lines[one], lines[other] = lines[other], lines[one]
        lines.insert(chance.randrange(len(lines)), lines[chance.randrange(len(lines))])
    found, tops = found_in(tmp_path / "x.gz", lines)
    assert_equal(found, tops, lines)
    assert not found.is_sound


def test_a_gap_ends_a_book_and_the_next_answer_begins_another(tmp_path: Path) -> None:
    lines = frames("BTCUSDT")
    answers = [place for place, line in enumerate(lines) if "lastUpdateId" in line]
    between = [place for place in depth_places(lines, "BTCUSDT") if answers[0] < place < answers[1]]
    del lines[between[3]]
    found, _ = found_in(tmp_path / "x", lines)
    (one,) = found.instruments
    after = sum("@depth" in line.get("stream", "") for line in lines[answers[1] :])
    assert one["gaps"] == 1
    assert after - 2 <= one["applied"] - 3 - (between[0] <= answers[0]) <= after + 5
    assert one["levels"] > 100


def test_answers_may_lie_in_another_file_and_name_nobody(tmp_path: Path) -> None:
    lines = frames(*SYMBOLS)
    answers = [line for line in lines if "lastUpdateId" in line]
    stream, beside = tmp_path / "stream.ndjson", tmp_path / "rest.json"
    stream.write_text("".join(json.dumps(line) + "\n" for line in lines if "lastUpdateId" not in line))
    for each in answers:
        del each["symbol"]
    beside.write_text("".join(json.dumps(each) + "\n" for each in answers))
    for files in ([stream, beside], [beside, stream]):
        tops: list[Top] = []
        found = verify_files(files, top=tops.append)
        assert found.is_sound
        assert all(one["applied"] > 50 for one in found.instruments)
        offset = len(answers) if files[0] is beside else 0
        assert tops[0].line > offset
    alone = verify_files([stream])
    assert [one["applied"] for one in alone.instruments] == [0, 0]
    assert all(one["best_bid"] is None and one["gaps"] == 0 for one in alone.instruments)
    assert [one["verified"] for one in alone.instruments] == ["chain", "chain"]
    assert alone.is_sound  # there is no whole book to begin with: the ids are all that can be checked
    text, is_sound = verify_to_text([stream], None, None, as_json=False)
    assert is_sound
    assert text.count("so the ids alone were checked") == 2
    assert text.endswith("Nothing failed. Of ADAUSDT, BTCUSDT the ids alone were checked.")


def depth_frames(lines: list[dict[str, Any]], symbol: str) -> list[dict[str, Any]]:
    return [lines[place] for place in depth_places(lines, symbol)]


@pytest.mark.parametrize("case", ["one frame", "prices alone", "one trade"])
def test_where_nothing_could_be_verified_that_is_said_and_no_success(tmp_path: Path, case: str) -> None:
    lines = frames(*SYMBOLS)
    sound = [line for line in lines if "adausdt@" in line.get("stream", "") or line.get("symbol") == "ADAUSDT"]
    of_btc = [line for line in lines if line.get("stream", "").startswith("btcusdt@")]
    if case == "one frame":
        chosen = depth_frames(lines, "BTCUSDT")[:1]
    else:
        stream = "bookTicker" if case == "prices alone" else "aggTrade"
        chosen = [line for line in of_btc if line["stream"].endswith(stream)][: 1 if case == "one trade" else None]
    assert chosen
    path = tmp_path / "x"
    path.write_text(slow.text([*sound, *chosen]))
    found = verify_files([path])
    assert {one["instrument"]: one["verified"] for one in found.instruments} == {
        "ADAUSDT": "book",
        "BTCUSDT": "nothing",
    }
    assert not found.is_sound
    text, is_sound = verify_to_text([path], None, None, as_json=False)
    assert not is_sound
    assert text.count("nothing could be verified") == 1
    assert text.endswith("Nothing could be verified of BTCUSDT.")
    assert json.loads(verify_to_text([path], None, None, as_json=True)[0]) == {"instruments": found.instruments}


def test_a_frame_that_cannot_be_read_is_a_fault_of_its_line(tmp_path: Path) -> None:
    lines = frames("BTCUSDT")
    place = depth_places(lines, "BTCUSDT")[5]
    lines[place]["data"]["b"] = [["-1", "1"]]
    found, _ = found_in(tmp_path / "x", lines)
    (one,) = found.instruments
    assert (one["unreadable"], one["gaps"]) == (1, 1)
    assert one["faults"][0]["line"] == place + 1
    assert not found.is_sound


@pytest.mark.parametrize(
    ("text", "venue", "words"),
    [
        ("", None, "nothing to verify"),
        ("hello\n", None, "line 1, is not a line of a recording"),
        ('[17,"hb"]\n', None, r"Bitfinex \(bitfinex\); .*Binance spot .* and Kraken futures .* can be verified"),
        ('[17,"hb"]\n', "binance", r"Bitfinex \(bitfinex\); .* can be verified"),
        ('{"channel":"book","type":"snapshot","data":[]}\n', "binance", "Kraken spot .*--venue says Binance spot"),
        ('{"stream":"x@depth","data":{"e":"depthUpdate","pu":1}}\n', "binance", "USD-M .*--venue says Binance spot"),
        ('{"what":1}\n', None, "nothing to verify in x; .* can be verified"),
        ("{}\n", "bitfinex", "--venue is 'bitfinex'"),
        ('{"lastUpdateId":"x","bids":[],"asks":[]}\n', None, "cannot be read"),
        ('{"stream":1}\n', None, "line 1, cannot be read"),
    ],
)
def test_what_cannot_be_verified_is_refused_in_one_sentence(
    tmp_path: Path, text: str, venue: str | None, words: str
) -> None:
    path = tmp_path / "x"
    path.write_text(text)
    with pytest.raises(ConfigError, match=words):
        verify_files([path], venue)
    with pytest.raises(ConfigError, match="no recording"):
        verify_files([tmp_path / "none"])


def test_the_file_of_best_levels_harms_no_recording_and_is_whole_or_as_it_was(tmp_path: Path) -> None:
    path, damaged, tops = tmp_path / "x", tmp_path / "damaged", tmp_path / "tops"
    text = slow.text(frames("BTCUSDT"))
    path.write_text(text)
    damaged.write_text(text + '{"stream":1}\n')
    (tmp_path / "link").symlink_to(path)
    for each in (path, tmp_path / "link"):
        with pytest.raises(ConfigError, match="is one of the recordings"):
            verify_to_text([path], None, each, as_json=False)
    assert path.read_text() == text
    tops.write_text("older")
    with pytest.raises(ConfigError, match="cannot be read"):
        verify_to_text([damaged], None, tops, as_json=False)
    assert tops.read_text() == "older"
    verify_to_text([path], None, tops, as_json=False)
    assert [json.loads(line)["instrument"] for line in tops.read_text().splitlines()].count("BTCUSDT") > 50
