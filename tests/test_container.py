"""What the Dockerfile promises, as far as it can be seen without a container engine."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sys
from pathlib import Path

import pytest

from tests.answers.serving import exchange
from tests.e2e.processes import environment, free_port, started
from tests.e2e.rig import until
from tests.patience import PATIENCE_SECS
from vibe_orderbook_mcp.model.errors import ConfigError
from vibe_orderbook_mcp.probe import listening_at
from vibe_orderbook_mcp.process.config import load_settings

TEXT = (Path(__file__).parents[1] / "Dockerfile").read_text()
INSTRUCTIONS = re.sub(r"^#.*\n", "", TEXT, flags=re.M).replace("\\\n", " ")
ENV = dict(re.findall(r"(VIBE_\w+)=(\S+)", " ".join(re.findall(r"^ENV (.*)$", INSTRUCTIONS, flags=re.M))))


def test_the_base_image_is_named_by_its_digest() -> None:
    """A tag is whatever was pushed last."""
    base = re.search(r"^ARG PYTHON_IMAGE=(\S+)$", INSTRUCTIONS, flags=re.M)
    assert base is not None
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+@sha256:[0-9a-f]{64}", base[1])
    assert re.findall(r"^FROM (\S+)", INSTRUCTIONS, flags=re.M) == ["${PYTHON_IMAGE}"] * 2


def test_the_image_as_it_is_lets_nobody_in_before_it_is_said_who_may_come(monkeypatch: pytest.MonkeyPatch) -> None:
    """`localhost` in the list of hosts looked like a lock, and any client can send that name."""
    assert ENV["VIBE_HOST"] == "0.0.0.0"  # noqa: S104  # in a container
    assert "VIBE_ALLOWED_HOSTS" not in ENV
    for name, value in ENV.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match="VIBE_AUTH_TOKEN"):
        load_settings().check_bind()
    monkeypatch.setenv("VIBE_AUTH_TOKEN", "long enough")
    load_settings().check_bind()


@pytest.mark.parametrize(
    ("variables", "place"),
    [
        ({}, ("127.0.0.1", 8000)),
        ({"VIBE_HOST": "0.0.0.0", "PORT": "9"}, ("127.0.0.1", 9)),  # noqa: S104  # what is tested
        ({"VIBE_HOST": "::", "PORT": "9", "VIBE_PORT": "10"}, ("::1", 10)),
        ({"VIBE_HOST": "[::1]"}, ("::1", 8000)),
        ({"VIBE_HOST": "172.17.0.2"}, ("172.17.0.2", 8000)),
        ({"VIBE_HOST": "localhost"}, ("localhost", 8000)),
    ],
)
def test_the_health_check_asks_where_the_server_listens(variables: dict[str, str], place: tuple[str, int]) -> None:
    assert listening_at(variables) == place


@pytest.mark.parametrize("host", ["127.0.0.2", "0.0.0.0"])  # noqa: S104  # what is tested
def test_the_health_check_follows_another_host_and_port(host: str, tmp_path: Path) -> None:
    found = re.search(r"^HEALTHCHECK .* CMD (\[.*\])$", INSTRUCTIONS, flags=re.M)
    assert found is not None
    _, *arguments = json.loads(found[1])

    async def asked(env: dict[str, str]) -> int:
        probe = await asyncio.create_subprocess_exec(sys.executable, *arguments, cwd=tmp_path, env=env)
        return await asyncio.wait_for(probe.wait(), PATIENCE_SECS)

    async def run() -> None:
        port = free_port()
        (tmp_path / ".env").write_text(f"VIBE_PORT={port}\n")
        async with exchange() as sim:
            env = environment(
                rest_url=sim.rest_url, ws_url=sim.ws_url, data_path=tmp_path / "db", host=host,
                auth_token="long enough", allowed_hosts="books.example",  # noqa: S106  # nobody's
            )  # fmt: skip
            env.pop("PORT", None)
            async with started("serve", "--transport", "http", cwd=tmp_path, env=env) as server:
                await until(lambda: server.count("Serving MCP on") > 0)
                async with asyncio.timeout(PATIENCE_SECS):
                    while await asked(env) != 0:
                        assert server.process.returncode is None
                server.process.send_signal(signal.SIGTERM)
                await server.ended()
            assert await asked(env) == 1

    asyncio.run(run())
