"""A short random run. The long one is `scripts/random_faults`; what it came to is in docs/RELIABILITY.md."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.e2e.faults.random_run import Unseen, random_run, unseen_spans
from tests.e2e.faults.rig import exchange, watching
from tests.e2e.faults.schedule import schedule

SYMBOLS = ("BTCUSDT", "ETHUSDT")


def test_a_seed_stands_for_one_schedule() -> None:
    plans = [list(schedule(300, seed, SYMBOLS)) for seed in (1, 1, 2)]
    assert plans[0] == plans[1]
    assert plans[0] != plans[2]


def test_a_loss_between_one_event_and_the_next_is_a_time_that_nobody_saw() -> None:
    applied = [(0.0, 1), (0.1, 1), (0.23, 2), (0.33, 2), (0.6, 2)]
    assert unseen_spans(applied) == [Unseen(0.1, 0.23, is_loss=True), Unseen(0.33, 0.6, is_loss=False)]


def test_a_wrong_book_would_be_noticed(tmp_path: Path) -> None:
    """The judge must be able to condemn: one level is off by one, in the 19th place from the top."""

    async def run() -> None:
        async with exchange() as sim, watching(sim, tmp_path) as watch:
            await watch.all_live()
            assert watch.market.wrong == []
            book = watch.market.symbols["BTCUSDT"].book
            assert book is not None
            price, _ = book.bids.top(19)[-1]
            book.bids.apply([(price, book.bids.size_at(price) + 1.0)])
            watch.market.judge("BTCUSDT")
            assert watch.market.wrong == [("BTCUSDT", book.last_update_id)]

    asyncio.run(run())


def test_after_random_faults_books_are_true_and_nothing_is_missing_that_was_seen(tmp_path: Path) -> None:
    report = asyncio.run(random_run(15, 3, tmp_path, SYMBOLS))
    assert report.problems == []
    assert report.faults.total() == 15
    assert report.books_checked > 50
    assert report.trades > 0
    assert report.snapshots > 0
