from __future__ import annotations

import pytest
from hypothesis import settings

# A busy machine is not a failing test.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
