"""The command line as processes: help, bad input, and what `export`, `status` and `record` print."""

from __future__ import annotations

import asyncio
import csv
import gzip
import io
import json
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from pyarrow import parquet  # type: ignore[import-untyped]  # has none

from tests import forked
from tests.answers.serving import exchange
from tests.e2e.processes import environment, started
from tests.e2e.rig import until
from tests.forked import Output
from tests.patience import PATIENCE_SECS
from tests.store.values import START, batch, record
from vibe_orderbook_mcp import __version__
from vibe_orderbook_mcp.store.history import History

COMMANDS = ("serve", "demo", "sim", "record", "verify", "export", "import", "status")
AT_ONCE = 3


Calls = Sequence[tuple[tuple[str, ...], dict[str, object]]]


async def command(*arguments: str, cwd: Path, **variables: object) -> Output:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "vibe_orderbook_mcp", *arguments, cwd=cwd, env=environment(**variables),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    out, err = await asyncio.wait_for(process.communicate(), PATIENCE_SECS)
    assert process.returncode is not None
    assert "Traceback" not in err.decode()
    return Output(process.returncode, out, err.decode())


def from_start(cwd: Path, calls: Calls) -> list[Output]:
    """Each started as its users start it."""

    async def run() -> list[Output]:
        room = asyncio.Semaphore(AT_ONCE)

        async def one(arguments: tuple[str, ...], variables: dict[str, object]) -> Output:
            async with room:
                return await command(*arguments, cwd=cwd, **variables)

        return await asyncio.gather(*(one(*call) for call in calls))

    return asyncio.run(run())


def commands(cwd: Path, calls: Calls) -> list[Output]:
    """One after another, in processes that have the modules."""
    outputs = [forked.command(*arguments, cwd=cwd, env=environment(**variables)) for arguments, variables in calls]
    assert not any("Traceback" in output.err for output in outputs)
    return outputs


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 seconds of two symbols with a gap, closed."""
    path = tmp_path_factory.mktemp("cli") / "db"

    async def fill() -> None:
        history = await History.open(path, cap_mb=64, retention_days=365)
        for second in [*range(START, START + 10), *range(START + 15, START + 25)]:
            await history.append([record(second)], [batch(second - START)])
        await history.close()

    asyncio.run(fill())
    return path


def test_help_and_version(tmp_path: Path) -> None:
    calls: list[tuple[tuple[str, ...], dict[str, object]]] = [(("--help",), {}), (("--version",), {})]
    calls += [((name, "--help"), {}) for name in COMMANDS]
    main, version, *rest = from_start(tmp_path, calls)
    assert (version.code, version.out.decode().strip()) == (0, __version__)
    for name, output in zip(("--help", *COMMANDS), (main, *rest), strict=True):
        assert output.code == 0, name
        assert output.out.startswith(b"Usage: ")
        assert output.err == ""
    for name in COMMANDS:
        assert name in main.out.decode()


def test_bad_input_is_one_clear_sentence_and_a_code_that_is_not_zero(data: Path, tmp_path: Path) -> None:
    have: dict[str, object] = {"data_path": data}
    none: dict[str, object] = {"data_path": tmp_path / "nothing"}
    gone: dict[str, object] = {**none, "rest_url": "http://127.0.0.1:9", "ws_url": "ws://127.0.0.1:9"}
    btc = ("--symbol", "BTCUSDT")
    cases: list[tuple[tuple[str, ...], dict[str, object], int, str]] = [
        (("nonsense",), none, 2, "No such command"),
        (("serve", "--nonsense"), none, 2, "No such option"),
        (("serve", "--transport", "carrier-pigeon"), none, 2, "carrier-pigeon"),
        (("serve", "--port", "x"), none, 2, "--port"),
        (("serve", "--port", "70000"), none, 2, "VIBE_PORT is '70000'; it must be a port number"),
        (("serve",), {**none, "symbols": "A,B,C", "max_symbols": 2}, 2, "VIBE_MAX_SYMBOLS is 2"),
        (("serve", "--transport", "http", "--host", "203.0.113.1"), {**none, "allowed_hosts": "x"}, 2, "VIBE_HOST"),
        (("sim", "--scenario", "calamity"), none, 2, "calamity"),
        (("sim", "--symbols", "NOPEUSDT"), none, 2, "does not list 'NOPEUSDT'"),
        (("sim", "--symbols", "!!"), none, 2, "'!!' is not a list of symbols"),
        (("sim", "--symbols", "kraken:BTC/XXX"), none, 2, "kraken does not list 'BTC/XXX'; it lists BTC/USD"),
        (("sim", "--symbols", "bitfinex:BTC/USD"), none, 2, "bitfinex (Bitfinex) is not among the venues of this"),
        (("record", "--symbols", "BTC-PERP", "-o", "x"), none, 2, "perpetuals and other futures are not among"),
        (("export", "trades", "--symbol", "htx:BTC-USDT"), have, 2, "--symbol: 'htx:BTC-USDT' is not one symbol"),
        (("export", "trades", "--symbol", "A,B"), have, 2, "'A,B' is not one symbol such as BTCUSDT"),
        (
            ("import", "trades", "x.csv", "--symbol", "nope:A"),
            none,
            2,
            "nope, which is not a venue that this server knows",
        ),
        (("serve",), {**none, "symbols": "mexc:BTCUSDT"}, 2, "it must be symbols separated by commas"),
        (("sim", "--replay", "missing.gz"), none, 2, "missing.gz"),
        (("record", "--symbols", "BTCUSDT"), none, 2, "--output"),
        (("record", "--symbols", "!!", "-o", "x"), none, 2, "'!!' is not a list of symbols"),
        (("record", "--symbols", "BTCUSDT", "-o", "x"), gone, 1, "cannot be reached at 127.0.0.1:9 (refused)."),
        (("record", "--symbols", "BTCUSDT", "-o", "no/x"), gone, 2, "cannot be written"),
        (("record", "--symbols", "BTCUSDT", "-o", "kept"), gone, 2, "kept exists already: choose another name"),
        (("record", "--symbols", "BTCUSDT", "-o", "kept", "--force"), gone, 1, "The exchange cannot be reached"),
        (("record", "--symbols", "BTCUSDT", "-o", "x", "--seconds", "-5"), gone, 2, "--seconds is -5; it must be a"),
        (("record", "--symbols", "BTCUSDT", "-o", "x", "--seconds", "nan"), gone, 2, "--seconds is nan; it must be a"),
        (("export", "trades", *btc, "-o", "kept"), have, 2, "kept exists already: choose another name"),
        (
            ("export", "trades", "--symbol", "ETHUSDT", "-o", "kept", "--force"),
            have,
            1,
            "Nothing is stored of ETHUSDT.",
        ),
        (("export", "trades", "--symbol", "ETHUSDT", "-o", "y"), have, 1, "Nothing is stored of ETHUSDT."),
        (("export", "candles", *btc), have, 2, "candles"),
        (("export", "trades"), have, 2, "--symbol"),
        (("export", "trades", *btc), none, 1, "Nothing has been recorded"),
        (("export", "trades", "--symbol", "ETHUSDT"), have, 1, "Nothing is stored of ETHUSDT."),
        (
            ("export", "trades", "--symbol", "BTCUSDT,ETHUSDT"),
            have,
            2,
            "'BTCUSDT,ETHUSDT' is not one symbol such as BTCUSDT",
        ),
        (("export", "trades", *btc, "--format", "xlsx"), have, 2, "xlsx"),
        (("export", "trades", *btc, "--start", "yesterday"), have, 2, "--start is 'yesterday'; it must be unix"),
        (("export", "trades", *btc, "--end", "nan"), have, 2, "--end is 'nan'"),
        (("export", "trades", *btc, "--start", "2000", "--end", "1000"), have, 2, "--end must be after --start"),
        (("export", "trades", *btc, "-o", "no/x"), have, 2, "no/x cannot be written"),
        (("export", "trades", *btc, "-o", "/dev/full"), have, 1, "No space left on device"),
        (("status",), none, 1, "Nothing has been recorded"),
    ]
    (tmp_path / "kept").write_bytes(b"an hour of frames")
    outputs = commands(tmp_path, [(arguments, variables) for arguments, variables, *_ in cases])
    assert (tmp_path / "kept").read_bytes() == b"an hour of frames"
    assert [found.name for found in tmp_path.iterdir()] == ["kept"]
    for (arguments, _, code, sentence), output in zip(cases, outputs, strict=True):
        assert output.code == code, (arguments, output)
        assert output.out == b"", arguments
        errors = [line for line in output.err.splitlines() if line.startswith("Error")]
        assert len(errors) == 1, (arguments, output.err)
        assert sentence in errors[0], (arguments, output.err)


def test_exports_hold_the_promised_columns_in_every_format(data: Path, tmp_path: Path) -> None:
    have: dict[str, object] = {"data_path": data}
    btc = ("--symbol", "btc/usdt")
    (tmp_path / "again.csv").write_text("an older export")
    start, end = "2023-11-14T22:14:05", str(START + 17)  # the first is START + 5
    trades_start, trades_end = str(START + 0.5), "2023-11-14T22:14:02"  # ten a second
    outputs = commands(
        tmp_path,
        [
            (("export", "trades", *btc), have),
            (("export", "trades", *btc, "--format", "jsonl", "--start", trades_start, "--end", trades_end), have),
            (("export", "trades", *btc, "--format", "parquet", "-o", "t.parquet"), have),
            (("export", "snapshots", *btc, "--start", start, "--end", end), have),
            (("export", "snapshots", *btc, "--format", "jsonl", "-o", "s.jsonl"), have),
            (("export", "trades", *btc, "--start", "1960-01-01", "--end", "9999-01-01"), have),
            (("export", "snapshots", *btc, "--start", "1960-01-01", "--end", "9999-01-01"), have),
            (("export", "trades", *btc, "--start", "2030-01-01"), have),
            (("export", "trades", *btc, "-o", "t.csv.gz"), have),
            (("export", "trades", *btc, "-o", "again.csv", "--force"), have),
        ],
    )
    assert [output.code for output in outputs] == [0] * len(outputs)
    trades = list(csv.DictReader(io.StringIO(outputs[0].out.decode())))
    assert list(trades[0]) == ["agg_id", "time_ms", "price", "size", "aggressor"]
    ids = [int(trade["agg_id"]) for trade in trades]
    assert ids == [*range(10), *range(15, 25)]
    assert {trade["aggressor"] for trade in trades} <= {"buy", "sell"}
    assert "Exported 20 trades of BTCUSDT" in outputs[0].err

    some = [json.loads(line) for line in outputs[1].out.splitlines()]
    assert [trade["agg_id"] for trade in some] == [*range(5, 10), *range(15, 20)]
    assert [{name: str(value) for name, value in trade.items()} for trade in some] == trades[5:15]

    table = parquet.read_table(tmp_path / "t.parquet").to_pylist()
    assert [{name: str(value) for name, value in row.items()} for row in table] == trades

    snapshots = list(csv.DictReader(io.StringIO(outputs[3].out.decode())))
    first = ["time", "event_ms", "last_update_id", "bid_price_1", "bid_size_1", "ask_price_1", "ask_size_1"]
    assert list(snapshots[0])[:8] == [*first, "bid_price_2"]
    assert [int(row["time"]) for row in snapshots] == [*range(START + 5, START + 10), START + 15, START + 16]
    lines = [json.loads(line) for line in (tmp_path / "s.jsonl").read_text().splitlines()]
    assert len(lines) == 20
    by_time = {row["time"]: row for row in lines}
    assert all(by_time[int(row["time"])]["bid_price_1"] == row["bid_price_1"] for row in snapshots)

    assert outputs[5].out == outputs[0].out
    assert outputs[6].out.count(b"\n") == 21
    assert outputs[7].out.count(b"\n") == 1  # the head
    assert gzip.decompress((tmp_path / "t.csv.gz").read_bytes()) == outputs[0].out
    assert (tmp_path / "again.csv").read_bytes() == outputs[0].out
    assert {found.name for found in tmp_path.iterdir()} == {"t.parquet", "s.jsonl", "t.csv.gz", "again.csv"}


def test_a_reader_that_leaves_early_ends_an_export_quietly(data: Path, tmp_path: Path) -> None:
    """`export ... | head`"""
    line = f"{sys.executable} -m vibe_orderbook_mcp export snapshots --symbol BTCUSDT | head -c 10"
    ended = subprocess.run(  # noqa: S603  # our own line
        ["/bin/sh", "-c", line],
        cwd=tmp_path,
        env=environment(data_path=data),
        capture_output=True,
        check=False,
        timeout=PATIENCE_SECS,
    )
    assert ended.stdout == b"time,event"
    assert b"Traceback" not in ended.stderr


def test_status_is_a_table_of_what_is_there(data: Path, tmp_path: Path) -> None:
    (output,) = commands(tmp_path, [(("status",), {"data_path": data})])
    assert output.code == 0
    text = output.out.decode()
    assert "schema 1" in text
    rows = [[cell.strip() for cell in line.strip("│┃ ").split("│")] for line in text.splitlines() if "BTCUSDT" in line]
    assert [row[1] for row in rows] == ["snapshots", "rows", "trades"]
    assert rows[0][2:] == ["2023-11-14 22:14:00", "2023-11-14 22:14:24", "20", "1", "5 s"]
    assert rows[2][4:] == ["20", "1", "5 ids"]
    (newest,) = (line for line in text.splitlines() if line.startswith("Newest second"))
    assert newest.startswith("Newest second: 2023-11-14 22:14:24, ")
    assert newest.endswith(" s ago. No process records here now.")


def test_status_counts_a_gap_that_is_open_while_a_process_has_the_directory(tmp_path: Path) -> None:
    """Its disk may be full: the seconds since the newest one are missing, and more are to be."""

    async def run() -> Output:
        history = await History.open(tmp_path / "db", cap_mb=64, retention_days=365)
        await history.append([record(second) for second in range(START, START + 10)])
        output = await command("status", cwd=tmp_path, data_path="db")
        await history.close()
        return output

    began = int(time.time())
    text = asyncio.run(run()).out.decode()
    assert text.startswith(f"{tmp_path / 'db'}: schema")
    assert " s ago. Another process records here now: an open gap counts up to now." in text
    (row,) = ([cell.strip() for cell in line.split("│")] for line in text.splitlines() if "rows" in line)
    assert row[6] == "1"
    missing_secs = int(row[7].removesuffix(" s").replace(",", ""))
    assert began - START - 10 <= missing_secs <= time.time() - START - 10


def test_where_nothing_is_recorded_the_path_is_named_and_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "20261201.log").write_text("theirs")
    (tmp_path / "file").write_text("theirs")
    said = {
        "missing": "does not exist",
        "empty": "is empty",
        "logs": "holds files that are not this program's, and no history",
        "file": "is a file, not a directory",
    }
    export = ("export", "trades", "--symbol", "BTCUSDT")
    calls = [(arguments, {"data_path": name}) for name in said for arguments in (("status",), export)]
    outputs = commands(tmp_path, calls)  # type: ignore[arg-type]  # invariant
    for (_, variables), output in zip(calls, outputs, strict=True):
        name = variables["data_path"]
        assert (output.code, output.out) == (1, b"")
        assert output.err == f"Error: Nothing has been recorded: {tmp_path / name} {said[name]}.\n"


def test_nothing_is_recorded_among_somebody_elses_files(data: Path, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    for name in ("20261201.log", "access.log", "lost+found"):
        (theirs / name).write_text("theirs")
    (tmp_path / "BTCUSDT-aggTrades-2026-11-22.csv").write_text("")
    trades = ("import", "trades", "BTCUSDT-aggTrades-2026-11-22.csv", "--symbol", "BTCUSDT")
    outputs = commands(
        tmp_path,
        [(arguments, {"data_path": theirs}) for arguments in (("serve",), ("serve", "--transport", "http"), trades)],
    )
    for output in outputs:
        assert output.code == 2
        (line,) = (line for line in output.err.splitlines() if line.startswith("Error"))
        assert f"{str(theirs)!r}, which holds '20261201.log' and 1 more, not of this program: " in line
    assert sorted(file.name for file in theirs.iterdir()) == ["20261201.log", "access.log", "lost+found"]


def test_status_and_export_work_while_a_server_records(tmp_path: Path) -> None:
    async def run() -> None:
        async with exchange() as sim:
            variables = {
                "rest_url": sim.rest_url,
                "ws_url": sim.ws_url,
                "data_path": tmp_path / "db",
                "symbols": "BTCUSDT",
                "backfill_hours": 0,
                "log_level": "DEBUG",
            }
            async with started(cwd=tmp_path, env=environment(**variables)) as server:
                await until(lambda: server.count("Stored snapshot for BTCUSDT") >= 2)
                status, trades = await asyncio.gather(
                    command("status", cwd=tmp_path, **variables),
                    command("export", "trades", "--symbol", "BTCUSDT", cwd=tmp_path, **variables),
                )
                assert (status.code, trades.code) == (0, 0)
                assert b"BTCUSDT" in status.out
                assert trades.out.count(b"\n") > 5
                assert server.count("Failed to persist") == 0

    asyncio.run(run())


def test_record_stops_by_itself_or_when_told_and_leaves_a_whole_file(tmp_path: Path) -> None:
    async def run() -> None:
        async with exchange() as sim:
            variables = {"rest_url": sim.rest_url, "ws_url": sim.ws_url}
            output = await command(
                "record", "--symbols", "btc/usdt", "-o", "a.gz", "--seconds", "4", cwd=tmp_path, **variables
            )
            assert output.code == 0
            assert output.out.decode().startswith("Recorded ")
            env = environment(**variables)
            async with started("record", "--symbols", "BTCUSDT", "-o", "b.gz", cwd=tmp_path, env=env) as process:
                await until(lambda: bool(sim.hub.listeners))
                sent = sim.hub.frames_sent
                await until(lambda: sim.hub.frames_sent > sent + 50)
                process.process.send_signal(signal.SIGINT)
                assert await process.ended() == 0
                assert process.count("Traceback") == 0
        for name in ("a.gz", "b.gz"):
            lines = gzip.decompress((tmp_path / name).read_bytes()).splitlines()
            assert lines  # a busy machine has little of the first one
            for line in lines:
                json.loads(line.partition(b" ")[2])

    asyncio.run(run())


def test_a_port_that_is_taken_is_said(tmp_path: Path) -> None:
    async def run() -> None:
        async with exchange() as sim:
            for name in ("serve", "sim"):
                how = ("--transport", "http") if name == "serve" else ()
                output = await command(name, *how, "--port", str(sim.port), cwd=tmp_path, data_path=tmp_path / "db")
                assert output.code == 2
                assert len([line for line in output.err.splitlines() if line.startswith("Error: ")]) == 1
                assert str(sim.port) in output.err

    asyncio.run(run())
