from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.analytics.rows import T0
from tests.analytics.tape import DAY, WHOLE
from vibe_orderbook_mcp.analytics.numbers import span_text
from vibe_orderbook_mcp.analytics.profile.coverage import (
    TapeCoverage,
    check_tape,
    nothing_traded,
    percent,
    tape_quality,
    tape_warnings,
    tape_window,
)
from vibe_orderbook_mcp.model.errors import Refusal
from vibe_orderbook_mcp.model.tape import Backfill

NOW_MS = T0 * 1000
HOUR = 3_600_000


def test_coverage_is_counted_by_ids() -> None:
    """600 of 1000 trades are 60 %, whenever they happened."""
    assert WHOLE.share(DAY) == 1.0
    assert TapeCoverage(600, 400, NOW_MS - HOUR).share(DAY) == 0.6
    assert TapeCoverage(600, 400, None).share(DAY) == 0.6


def test_time_that_no_id_accounts_for_is_not_covered() -> None:
    """Six hours known of twenty-four, a tenth of their trades missing."""
    tape = TapeCoverage(900, 100, None, accounted_since_ms=NOW_MS - 6 * HOUR)
    assert tape.share(DAY) == pytest.approx(0.225)


def test_a_quiet_symbol_is_covered_without_a_trade() -> None:
    """That nothing was traded is known, where nothing is missing."""
    assert TapeCoverage(0, 0, DAY.start * 1000).share(DAY) == 1.0
    assert TapeCoverage(0, 0, NOW_MS - 6 * HOUR, NOW_MS - 6 * HOUR).share(DAY) == 0.25
    assert TapeCoverage(0, 0, None).share(DAY) == 0.0


def test_a_part_is_answered_and_only_nothing_is_refused() -> None:
    """While older trades are fetched, the stored part is exact; the answer says how large that is."""
    fetching = Backfill(DAY.start * 1000, 600, 12.5)
    assert check_tape("BTCUSDT", DAY, TapeCoverage(400, 600, NOW_MS - 9 * HOUR, None, fetching)) == 0.4
    with pytest.raises(Refusal) as refused:
        check_tape("BTCUSDT", DAY, TapeCoverage(0, 600, None, None, fetching))
    assert refused.value.code == "insufficient_historical_data"
    assert refused.value.message == "BTCUSDT: trades cover 0 % of the requested 24 h."
    assert refused.value.hint == "Older trades are being fetched (600 to go, done in about 48 s)."
    assert refused.value.retry_after_secs == 48.0


def test_a_little_is_not_told_as_nothing_nor_almost_half_as_half() -> None:
    """ "0 % covered" beside volumes, or "50 %, 50 % is needed", contradict themselves."""
    spoken = [percent(share) for share in (0.0, 0.0047, 0.042, 0.4999, 0.5, 0.9999, 1.0)]
    assert spoken == ["0", "0.47", "4.2", "49", "50", "99", "100"]


def test_without_a_back_fill_time_has_to_pass() -> None:
    """Nothing was traded in what is covered, which is too little to say that nothing was."""
    tape = TapeCoverage(0, 0, NOW_MS - 5 * HOUR, NOW_MS - 5 * HOUR)
    with pytest.raises(Refusal) as refused:
        check_tape("BTCUSDT", DAY, tape)
    assert refused.value.retry_after_secs == 60  # nothing is stored yet: one trade is enough
    with pytest.raises(Refusal) as new:
        check_tape("BTCUSDT", DAY, TapeCoverage(0, 0, None, is_new=True))
    assert (new.value.hint, new.value.retry_after_secs) == ("Older trades are about to be fetched.", 3.0)
    with pytest.raises(Refusal) as too_short:  # a back-fill of an hour does not make a day
        check_tape("BTCUSDT", DAY, TapeCoverage(0, 0, NOW_MS, NOW_MS, Backfill(NOW_MS - HOUR, 10, 5.0)))
    assert too_short.value.retry_after_secs == 60
    assert "back to 2024-05-01T11:00:00Z only" in too_short.value.hint
    assert "duration_hours" not in too_short.value.hint


def test_a_window_that_lacks_one_trade_is_not_whole() -> None:
    """Rounding must not turn 0.99999 into proof of completeness."""
    tape = TapeCoverage(99_999, 1, None)
    share = check_tape("BTCUSDT", DAY, tape)
    assert tape_window(DAY, tape, 10).coverage == 0.9999
    assert share < 1.0
    assert tape_warnings(DAY, tape, 5000) == ["1 of 100,000 trades are missing: volumes are of the stored ones."]
    assert tape_window(DAY, WHOLE, 10).coverage == 1.0


def test_a_part_of_a_second_is_not_coverage_nought() -> None:
    """0.175 s of a day are covered: 0.0 beside it is a contradiction."""
    tape = TapeCoverage(1, 0, NOW_MS - 175, NOW_MS - 175)
    window = tape_window(DAY, tape, 1)
    assert (window.covered_secs, window.coverage) == (0.175, 0.000002)
    assert tape_window(DAY, TapeCoverage(0, 0, None), 0).coverage == 0.0


@pytest.mark.parametrize("missing", [0, 1, 108])
@pytest.mark.parametrize("complete", [None, NOW_MS, NOW_MS - HOUR])
def test_no_warning_contradicts_another(missing: int, complete: int | None) -> None:
    """ "108 missing" and "nothing is missing" stood in one sentence."""
    tape = TapeCoverage(500, missing, complete, NOW_MS - 2 * HOUR)
    text = " ".join(tape_warnings(DAY, tape, 500))
    assert "nothing is missing" not in text
    assert ("are missing" in text) == (missing > 0)
    assert ("None is missing since" in text) == (missing > 0 and complete == NOW_MS - HOUR)


def test_a_symbol_that_never_traded_is_not_told_to_wait() -> None:
    """The exchange was asked and has no trade of it: no time is known after which there will be one."""
    with pytest.raises(Refusal) as refused:
        check_tape("NEWUSDT", DAY, TapeCoverage(0, 0, None, never_traded=True))
    assert refused.value.message == "NEWUSDT has never traded: the exchange has no trade of it."
    assert refused.value.retry_after_secs is None


def test_lengths_of_time_are_said_as_a_desk_says_them() -> None:
    spoken = [span_text(secs) for secs in (1, 119, 120, 3599, 3600, 4531, 7300, 86_400, 90_000, 604_800)]
    assert spoken == ["1 s", "119 s", "2 min", "59 min", "1 h", "75 min", "2 h", "24 h", "25 h", "168 h"]


def test_warnings_say_since_when_and_until_when() -> None:
    """What is missing, since when nothing is, and when the rest will be there."""
    tape = TapeCoverage(600, 400, NOW_MS - 9 * HOUR, None, Backfill(DAY.start * 1000, 4000, 10.0))
    assert tape_warnings(DAY, tape, 299) == [
        "400 of 1,000 trades are missing: volumes are of the stored ones. None is missing since 2024-05-01T03:00:00Z.",
        "Older trades are being fetched (4,000 to go, done in about 7 min).",
        "Only 299 trades: a dependable profile needs 300.",
    ]
    assert tape_warnings(DAY, WHOLE, 300) == []
    slow = TapeCoverage(600, 400, None, None, Backfill(DAY.start * 1000, 40_000, 2.0))
    assert "about 5.6 h" in tape_warnings(DAY, slow, 300)[1]
    unknown = TapeCoverage(600, 400, None, None, Backfill(DAY.start * 1000, 40_000))
    assert tape_warnings(DAY, unknown, 300)[1] == "Older trades are being fetched (40,000 to go)."


def test_qualities_are_those_worked_by_hand() -> None:
    assert [tape_quality(share) for share in (1.0, 0.95, 0.94, 0.5, 0.49)] == [
        "ok", "ok", "partial", "partial", "partial"
    ]  # fmt: skip
    assert nothing_traded("BTCUSDT", DAY).code == "insufficient_historical_data"


_MS = st.none() | st.integers(NOW_MS - 400 * HOUR, NOW_MS + HOUR)


@settings(deadline=None)
@given(st.integers(0, 10**9), st.integers(0, 10**9), _MS, _MS, st.floats(0, 1e9))
def test_every_coverage_is_a_share_and_every_refusal_has_a_time(
    held: int, missing: int, complete: int | None, accounted: int | None, pace: float
) -> None:
    """0 to 1, finite, and a wait that is not nothing."""
    tape = TapeCoverage(held, missing, complete, accounted, Backfill(DAY.start * 1000, missing, pace))
    share = tape.share(DAY)
    assert 0.0 <= share <= 1.0
    if share < 0.5 and held == 0:
        with pytest.raises(Refusal) as refused:
            check_tape("BTCUSDT", DAY, tape)
        assert 1.0 <= (refused.value.retry_after_secs or 0.0) <= DAY.secs
        return
    assert check_tape("BTCUSDT", DAY, tape) == share
    assert 0.0 <= tape_window(DAY, tape, held).coverage <= share
    assert all(tape_warnings(DAY, tape, held))
