"""`import trades`, `verify` and a recorder that is killed, as processes."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import zipfile
from pathlib import Path

import pytest

from tests.answers.serving import exchange
from tests.e2e.processes import environment, started
from tests.e2e.rig import until
from tests.forked import Output
from tests.store.values import batch
from tests.test_cli import commands
from vibe_orderbook_mcp.frames.lines import read_lines
from vibe_orderbook_mcp.store.history import History
from vibe_orderbook_mcp.verify.recording import verify_files

HEADER = "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker,is_best_match\n"
BASE_MS = 1_723_161_256_000


def rows(first: int, count: int, *, unit: int = 1, columns: int = 8) -> str:
    """`unit` 1000: microseconds."""
    out = ""
    for number in range(first, first + count):
        time = (BASE_MS + number * 250) * unit + (17 if unit > 1 else 0)
        flags = ("True" if number % 3 else "False", "True")[: columns - 6]
        price, size = 61_000 + number % 7 * 0.01, 0.00001 * (1 + number % 9)
        out += f"{number},{price:.8f},{size:.8f},{number * 2},{number * 2 + 1},{time},{','.join(flags)}\n"
    return out


def zipped(path: Path, **files: str) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(f"{name}.csv", text)
    return path


def run(tmp_path: Path, *calls: tuple[str, ...]) -> list[Output]:
    return commands(tmp_path, [(call, {"data_path": tmp_path / "db"}) for call in calls])


def exported(output: Output) -> list[tuple[int, int, str, str, str]]:
    found = csv.DictReader(io.StringIO(output.out.decode()))
    return [(int(row["agg_id"]), int(row["time_ms"]), row["price"], row["size"], row["aggressor"]) for row in found]


def expected(ids: range) -> list[tuple[int, int, str, str, str]]:
    return [
        (
            number,
            BASE_MS + number * 250,
            f"{61_000 + number % 7 * 0.01:.8f}",
            f"{0.00001 * (1 + number % 9):.8f}",
            "sell" if number % 3 else "buy",
        )
        for number in ids
    ]


def test_public_files_of_every_form_become_history(tmp_path: Path) -> None:
    """Plain and zipped, with and without names of columns, milliseconds and microseconds; again, and overlapping."""
    (tmp_path / "BTCUSDT-aggTrades-2024-08-09.csv").write_text(rows(1000, 3000))
    zipped(tmp_path / "BTCUSDT-aggTrades-2024-08-10.zip", a=HEADER + rows(3500, 2500, unit=1000))
    (tmp_path / "more.csv").write_text("\ufeff" + HEADER.replace(",is_best_match", "") + rows(5900, 400, columns=7))
    first = ("import", "trades", "BTCUSDT-aggTrades-2024-08-09.csv", "BTCUSDT-aggTrades-2024-08-10.zip")
    outputs = run(
        tmp_path,
        (*first, "--symbol", "btc/usdt"),
        ("import", "trades", "more.csv", "--symbol", "BTCUSDT"),
        ("import", "trades", "more.csv", "--symbol", "BTCUSDT"),
        ("export", "trades", "--symbol", "BTCUSDT"),
        ("status",),
    )
    assert [output.code for output in outputs] == [0] * 5, outputs
    said = outputs[0].out.decode().splitlines()
    assert said[0] == "Imported 3000 trades of BTCUSDT from BTCUSDT-aggTrades-2024-08-09.csv; 0 were stored already"
    assert "VIBE_RETENTION_DAYS (7)" in said[1]
    assert said[2] == "Imported 2000 trades of BTCUSDT from BTCUSDT-aggTrades-2024-08-10.zip; 500 were stored already"
    assert outputs[1].out.startswith(b"Imported 300 trades of BTCUSDT from more.csv; 100 were stored already\n")
    assert outputs[2].out.startswith(b"Imported 0 trades of BTCUSDT from more.csv; 400 were stored already\n")
    assert exported(outputs[3]) == expected(range(1000, 6300))
    assert "5,300" in outputs[4].out.decode()


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("x.csv", "hello\nworld\n", "it has 1 columns instead of 7 or 8"),
        ("x.csv", rows(1, 2) + "3,x,1,1,1,1,True,True\n", "line 3, is not an aggregate trade: its price is 'x'"),
        ("x.csv", rows(1, 2) + "3,1,-1,1,1,1,True,True\n", "its quantity is '-1'"),
        ("x.csv", rows(1, 2) + "3,1,1,5,4,1,True,True\n", "its last trade id 4 is below the first 5"),
        ("x.csv", rows(1, 2) + "3,1,1,4,5,1,maybe,True\n", "'maybe' is neither true nor false"),
        ("x.csv", rows(1, 2) + "3,1,1\n", "it has 3 columns"),
        ("x.csv", rows(1, 2) + "99999999999999999999,1,1,4,5,1,True,True\n", "its id is"),
        ("x.zip", "not a zip", "cannot be unpacked"),
        ("ETHUSDT-aggTrades-2024-08-09.csv", rows(1, 2), "holds trades of ETHUSDT, and --symbol is BTCUSDT"),
        ("none", None, "There is no file none"),
    ],
)
def test_what_cannot_be_imported_is_refused_in_one_sentence(
    tmp_path: Path, name: str, content: str | None, words: str
) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    (output,) = run(tmp_path, ("import", "trades", name, "--symbol", "BTCUSDT"))
    assert output.code == 2
    errors = [line for line in output.err.splitlines() if line.startswith("Error")]
    assert len(errors) == 1
    assert words in errors[0]


def test_a_zip_of_two_files_or_of_none_is_refused(tmp_path: Path) -> None:
    zipped(tmp_path / "two.zip", a=rows(1, 2), b=rows(3, 2))
    zipped(tmp_path / "empty.zip")
    (tmp_path / "cut.zip").write_bytes(zipped(tmp_path / "one.zip", a=rows(1, 2000)).read_bytes()[:-100])
    for name in ("two.zip", "empty.zip", "cut.zip"):
        (output,) = run(tmp_path, ("import", "trades", name, "--symbol", "BTCUSDT"))
        assert (output.code, output.err.count("Error: ")) == (2, 1)
        assert "a .zip with one such file" in output.err


def test_trades_of_another_market_do_not_get_among_those_that_are_held(tmp_path: Path) -> None:
    """Files of spot and of futures have one name; their ids rise with other times."""
    (tmp_path / "spot.csv").write_text(rows(100_000, 500))
    (tmp_path / "futures.csv").write_text(rows(900_000, 5).replace(str(BASE_MS + 900_000 * 250)[:9], "172000000"))
    outputs = run(
        tmp_path,
        ("import", "trades", "spot.csv", "--symbol", "BTCUSDT"),
        ("import", "trades", "futures.csv", "--symbol", "BTCUSDT"),
    )
    assert [output.code for output in outputs] == [0, 2]
    assert "holds trades of another market" in outputs[1].err


def test_while_another_process_records_nothing_is_imported_and_that_is_said(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text(rows(1, 5))

    async def body() -> None:
        history = await History.open(tmp_path / "db", cap_mb=64, retention_days=365)
        await history.add_trades(batch(0))
        (output,) = await asyncio.to_thread(run, tmp_path, ("import", "trades", "x.csv", "--symbol", "BTCUSDT"))
        await history.close()
        assert output.code == 1
        assert "Error: Another process records into this data directory: stop it, import" in output.err

    asyncio.run(body())


def test_a_recorder_that_is_killed_leaves_a_file_that_can_be_used(tmp_path: Path) -> None:
    """`kill -9` cuts the file wherever it is; what was received until a second before is in it."""

    async def body() -> None:
        async with exchange() as sim:
            env = environment(rest_url=sim.rest_url, ws_url=sim.ws_url)
            for name in ("a.gz", "b"):
                path = tmp_path / name
                async with started("record", "--symbols", "BTCUSDT", "-o", name, cwd=tmp_path, env=env) as process:
                    await until(lambda path=path: is_recorded(path))  # type: ignore[misc]  # bound at once
                    process.process.kill()
                    await process.ended()

    asyncio.run(body())
    for name in ("a.gz", "b"):
        found = verify_files([tmp_path / name])
        assert found.is_sound
        assert found.instruments[0]["applied"] > 3
    outputs = commands(tmp_path, [(("verify", "a.gz", "b", "--json"), {}), (("verify", "a.gz"), {})])
    assert outputs[1].code == 0
    assert "a.gz is cut after line" in outputs[1].err
    assert outputs[1].out.decode().splitlines()[-1] == "Nothing failed."
    assert [one["instrument"] for one in json.loads(outputs[0].out)["instruments"]] == ["BTCUSDT"]


def is_recorded(path: Path) -> bool:
    """A depth answer and some depth events after it can be read back."""
    if not path.exists():
        return False
    frames = [line.frame for line in read_lines(path, lambda _said: None)]
    answers = [number for number, frame in enumerate(frames) if b"lastUpdateId" in frame[:200]]
    return bool(answers) and sum(b"depthUpdate" in frame for frame in frames[answers[0] :]) > 20


def test_verify_prints_what_it_found_and_ends_with_its_code(tmp_path: Path) -> None:
    lines = [
        '{"lastUpdateId":5,"bids":[["10.00000000","1.00000000"]],"asks":[["11.00000000","2.00000000"]],"symbol":"AAA"}',
        *(
            f'{{"e":"depthUpdate","E":{at},"s":"AAA","U":{at},"u":{at},"b":[["10.50000000","{at}.00000000"]],"a":[]}}'
            for at in (6, 7, 9)
        ),
    ]
    (tmp_path / "x").write_text("\n".join(f"172316125{number} {line}" for number, line in enumerate(lines)) + "\n")
    (tmp_path / "good").write_text("\n".join(lines[:3]))
    outputs = commands(
        tmp_path,
        [
            (("verify", "x", "--json", "--tops", "tops"), {}),
            (("verify", "good", "--tops", "tops2"), {}),
            (("verify", "none"), {}),
            (("verify", "good", "--tops", "no/x"), {}),
            (("verify", "good", "--venue", "okx"), {}),
            (("verify",), {}),
        ],
    )
    assert [output.code for output in outputs] == [1, 0, 2, 2, 2, 2]
    (one,) = json.loads(outputs[0].out)["instruments"]
    assert (one["instrument"], one["frames"], one["applied"], one["gaps"]) == ("AAA", 3, 2, 1)
    assert one["faults"] == [{"line": 4, "what": "updates 8 to 8 are missing"}]
    assert one["best_bid"] is None
    tops = [json.loads(line) for line in (tmp_path / "tops").read_text().splitlines()]
    best = {"instrument": "AAA", "ask": ["11.00000000", "2.00000000"]}
    assert tops == [{"line": at - 4, "bid": ["10.50000000", f"{at}.00000000"], **best} for at in (6, 7)]
    assert "10.50000000 x 7.00000000 / 11.00000000 x 2.00000000, 3 levels" in outputs[1].out.decode()
    for output in outputs[2:]:
        assert sum(line.startswith("Error") for line in output.err.splitlines()) == 1
