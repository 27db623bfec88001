"""Rows of the fault matrix: what a test did to the program, and what its users saw of it.

A test is a row when it carries the marker and says how it ended:

    @pytest.mark.fault(part="disk", fault="the disk is full", promise="live tools go on, writing resumes by itself")
    def test_...(outcome: Outcome) -> None:
        ...
        outcome.recovered(1.2, saw="history refused with storage_error")
        outcome.books(checked=400, wrong=0)

`part` is the section of docs/RELIABILITY.md. The figures travel as properties of pytest's own report
(`--junit-xml`), which is what `scripts/reliability` reads; nothing is kept otherwise.
"""

from __future__ import annotations

from collections.abc import Callable

PARTS = ("exchange", "disk", "process")  # also the order of the tables


class Outcome:
    """What came of one fault. A row that ends without `recovered` or `remains` fails."""

    def __init__(self, record: Callable[[str, object], None]) -> None:
        self._record = record
        self.has_ended = False
        self.has_books = False

    def recovered(self, secs: float, *, saw: str) -> None:
        """Everything works again `secs` after the fault was over (or was done, when it has no end of its own).

        `saw`: what a user saw meanwhile, e.g. "syncing, then live".
        """
        self._end(saw, f"{secs:.1f} s")

    def remains(self, *, saw: str) -> None:
        """Nothing that this program can repair; `saw` is what it honestly says for as long as the fault lasts."""
        self._end(saw, "while it lasts")

    def books(self, *, checked: int, wrong: int) -> None:
        """How many books that were served as live were compared with the true ones, and how many differed."""
        self.has_books = True
        self._record("books_checked", checked)
        self._record("books_wrong", wrong)
        assert checked > 0, "no book was compared"
        assert wrong == 0, f"{wrong} of {checked} books served as live were wrong"

    def _end(self, saw: str, recovery: str) -> None:
        self.has_ended = True
        self._record("saw", saw)
        self._record("recovery", recovery)
