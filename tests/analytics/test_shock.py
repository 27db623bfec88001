"""Market shocks: when they open, what they say, and when they end."""

from __future__ import annotations

from typing import Any

import pytest

from tests.analytics.books import BTC
from tests.analytics.rows import T0
from tests.analytics.test_anomalies_answer import ask
from tests.analytics.watching import QUIET, WARM_SECS, feed, quiet_row, quiet_rows, warm
from vibe_orderbook_mcp.analytics.anomalies.shock import shock_severity
from vibe_orderbook_mcp.analytics.anomalies.watch import SymbolWatch
from vibe_orderbook_mcp.analytics.findings import Finding, from_stored, to_stored
from vibe_orderbook_mcp.analytics.usual.measures import depth_octaves
from vibe_orderbook_mcp.analytics.usual.own_rate import Measure, level_of
from vibe_orderbook_mcp.model.events import Side, TakerGroup
from vibe_orderbook_mcp.model.rows import SecondRow
from vibe_orderbook_mcp.seconds.wall_watch import LevelEvidence

AT = WARM_SECS
MS = (T0 + AT) * 1000


def levels(**values: float | None) -> dict[Measure, int]:
    return {name: level_of(name, value, (), 1.0) for name, value in values.items() if value is not None}  # type: ignore[misc, arg-type]  # names of measures


@pytest.mark.parametrize(
    ("price", "volume", "sweep", "withdrawn", "left", "spread", "severity"),
    [
        pytest.param(14.8, 72.0, 2.24, 0.4, 0.08, 1.6, "Critical", id="a squeeze: four rare ones"),
        pytest.param(6.0, 9.0, 0.1, 0.3, 0.8, 1.0, None, id="a drift: nothing is rare"),
        pytest.param(1.0, 1.0, None, 0.85, 0.2, 4.0, None, id="depth pulled, price stands"),
        pytest.param(9.2, 11.0, 0.2, 0.2, 0.7, 1.0, "Medium", id="news"),
        pytest.param(6.2, 1.5, 0.1, 0.85, 0.2, 7.0, None, id="nothing was traded"),
        pytest.param(9.2, 21.0, 0.2, 0.2, 0.7, 1.0, "High", id="two rare ones"),
        pytest.param(15.0, 8.0, 0.0, 0.0, 1.0, 1.0, "Critical", id="fifteen times a usual move"),
        pytest.param(5.0, 0.0, 0.25, 0.8, 1.0, 1.0, "Medium", id="a sweep is trading too"),
    ],
)
def test_price_moved_something_was_traded_something_is_rare(
    price: float, volume: float, sweep: float | None, withdrawn: float, left: float, spread: float, severity: str | None
) -> None:
    found = levels(price=price, volume=volume, sweep=sweep, depth=depth_octaves(withdrawn, left), spread=spread)
    assert shock_severity(found, price) == severity


def swept(second: int, *, quote: float = 150_000.0, side: Side = "bid", prices: int = 9) -> LevelEvidence:
    """A taker group that hit a side with a usual depth of 100 000 within 5 bps."""
    group = TakerGroup(
        time_ms=(T0 + second) * 1000 + 300,
        side=side,
        prices=prices,
        base=quote / 60_000,
        quote=quote,
        last_price=59_970.0,
        touch=60_000.0,
        mid=60_000.005,
        levels_cleared=prices,
        burst_quote=quote,
    )
    return LevelEvidence(has_limits=True, sweeps=(group,))


def mid_of(watch: SymbolWatch) -> float:
    return watch.rows[-1].mid or 0.0


def calm(watch: SymbolWatch, start: int, count: int, mid: float, **fields: Any) -> list[Finding]:
    rows = [quiet_row(start + place, mid=mid, **fields) for place in range(count)]
    return feed(watch, rows)


def shocked(watch: SymbolWatch, *, move: float = -10.0) -> list[Finding]:
    """One second: a sweep as large as the usual depth and a half, and price moved."""
    mid = mid_of(watch)
    row = quiet_row(AT, mid=mid + move, sell_quote=150_000.0)
    return watch.second(row, swept(AT))


def test_a_sweep_opens_one_in_its_own_second() -> None:
    """Price, sweep: two rare measures, and the move is of that second."""
    watch = warm()
    before = mid_of(watch)
    (found,) = shocked(watch)
    assert (found.type, found.start_ms, found.end_ms, found.severity) == ("market_shock", MS, None, "Critical")
    assert found.evidence["direction"] == "down"
    assert found.evidence["size_bps"] == pytest.approx(-1e4 * 10 / before, rel=0.001)
    assert found.evidence["peak_secs"] == 1
    assert found.evidence["sell_volume_quote"] == 150_000.0
    assert set(found.components) == {"price", "volume", "sweep", "depth", "spread"}
    assert (found.components["sweep"].level, found.components["sweep"].at_ms) == (2, MS)
    assert found.components["sweep"].value == pytest.approx(1.5, rel=0.02)
    (sweep,) = found.sweeps
    assert (sweep.side, sweep.prices, sweep.quote, sweep.levels_cleared) == ("bid", 9, 150_000.0, 9)
    assert sweep.reach_bps == pytest.approx(5.0, rel=0.001)
    assert watch.open[0] == found
    assert from_stored(to_stored(found)) == found


def test_a_move_alone_and_a_sweep_alone_are_none() -> None:
    watch = warm()
    assert watch.second(quiet_row(AT, mid=mid_of(watch) - 10.0), QUIET) == []
    watch = warm()
    assert watch.second(quiet_row(AT, mid=mid_of(watch)), swept(AT)) == []


def test_what_was_reached_counts_for_thirty_seconds() -> None:
    """The sweep comes first, and price follows; the start is the first second of what opened it."""
    for gap, opens in ((29, True), (30, False)):
        watch = warm()
        mid = mid_of(watch)
        assert watch.second(quiet_row(AT, mid=mid), swept(AT)) == []
        assert calm(watch, AT + 1, gap - 1, mid) == []
        found = calm(watch, AT + gap, 1, mid - 10.0)
        assert [each.start_ms for each in found] == ([MS] if opens else [])


def test_it_ends_after_a_minute_and_says_how_much_came_back() -> None:
    watch = warm()
    mid = mid_of(watch)
    (opened,) = shocked(watch)
    found = calm(watch, AT + 1, 200, mid - 4.0)
    (over,) = [each for each in found if not each.is_open]
    assert over.key == opened.key
    assert over.end_ms is not None
    last = max(each.second for each in watch.measures if any(each.levels))
    assert over.end_ms == (last + 1) * 1000
    assert over.evidence["retraced"] == pytest.approx(0.6, abs=0.01)
    assert over.evidence["size_bps"] == opened.evidence["size_bps"]
    assert list(watch.recent) == [over]
    assert watch.open == []


def test_its_severity_only_rises_and_it_stays_one_event() -> None:
    watch = warm()
    mid = mid_of(watch)
    first = watch.second(quiet_row(AT, mid=mid - 0.11), swept(AT, quote=60_000.0))
    assert [each.severity for each in first] == ["Medium"]
    second = watch.second(quiet_row(AT + 1, mid=mid - 0.11), swept(AT + 1, quote=130_000.0))
    assert [each.severity for each in second] == ["High"]
    more = calm(watch, AT + 2, 20, mid - 0.11)
    assert [each.severity for each in more if each.is_open] == []
    assert watch.open[0].severity == "High"
    assert [sweep.quote for sweep in watch.open[0].sweeps] == [130_000.0, 60_000.0]


def test_a_burst_of_updates_that_moves_is_evidence_of_the_shock() -> None:
    """As an update burst it is none, rightly: news moves prices. Alone it is an unusual value, and no quiet market."""
    watch = warm()
    mid = mid_of(watch)
    assert watch.second(quiet_row(AT, mid=mid - 0.04, ids=900, trades=0), QUIET) == []
    said = ask(watch)
    assert said.findings == []
    assert said.measured.update_surge_times is not None
    assert said.measured.update_surge_times > 15
    assert "no finding in the last 60 s; largest: " in said.summary
    (found,) = watch.second(quiet_row(AT + 1, mid=mid - 12.0, ids=900, trades=0), swept(AT + 1))
    assert float(found.evidence["updates_times_median"]) > 15


def test_no_shock_before_an_hour() -> None:
    watch = SymbolWatch(BTC)
    feed(watch, quiet_rows(3000))
    assert watch.second(quiet_row(3000, mid=mid_of(watch) - 10.0, sell_quote=150_000.0), swept(3000)) == []
    assert "market_shock" in [each.detector for each in watch.not_run()]


def test_an_open_shock_is_still_open_after_a_restart() -> None:
    """The rows behind the stored hours are judged again; their finding is reported once, when it ends."""
    watch = warm()
    mid = mid_of(watch)
    rows: list[SecondRow] = [*watch.rows]
    shock = [
        quiet_row(AT + place, mid=mid - 10.0, sell_quote=150_000.0) for place in range(60)
    ]  # volume rises to eight times and more within half a minute
    feed(watch, shock)
    (opened,) = [each for each in watch.open if each.type == "market_shock"]
    again = SymbolWatch(BTC)
    older = quiet_rows(WARM_SECS)
    assert rows[-1] == older[-1]
    saved = [data for _, data in watch.hour_blocks()]
    told = again.restore(saved, [*older[-3700:], *shock])
    assert [each.key for each in again.open if each.type == "market_shock"] == [opened.key]
    assert {each.key for each in told if each.type == "market_shock"} <= {opened.key}
