from __future__ import annotations

import pytest

from tests.tables import TABLES, renewed


@pytest.mark.parametrize("name", TABLES)
def test_a_table_of_the_documents_is_what_the_code_says(name: str) -> None:
    """`scripts/tables` renews it."""
    page, text = renewed(name)
    assert page.read_text("utf-8") == text
