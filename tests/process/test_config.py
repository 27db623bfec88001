"""Settings: every variable, its other names, the `.env` file, and what a wrong value says."""

from __future__ import annotations

from pathlib import Path

import pytest

from vibe_orderbook_mcp.model.errors import ConfigError
from vibe_orderbook_mcp.process.config import Settings, load_settings, unknown_variables


@pytest.fixture(autouse=True)
def _own_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable and no `.env` of the user who runs the tests."""
    import os

    for name in list(os.environ):
        if name.startswith("VIBE_") or name in ("PORT", "ANALYTICS_DATA_PATH"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


VALUES: list[tuple[str, str, str, object]] = [
    ("VIBE_SYMBOLS", " btc/usdt, ETH-USDT ,BTCUSDT,币安人生usdt", "symbols", ("BTCUSDT", "ETHUSDT", "币安人生USDT")),
    ("VIBE_SYMBOLS", "Binance:sol/usdt,binance:ETHUSDT,SOLUSDT", "symbols", ("SOLUSDT", "ETHUSDT")),
    ("VIBE_MAX_SYMBOLS", "7", "max_symbols", 7),
    ("VIBE_REST_URL", "https://api.binance.us/", "rest_url", "https://api.binance.us"),
    ("VIBE_WS_URL", "wss://stream.binance.us:9443", "ws_url", "wss://stream.binance.us:9443"),
    ("VIBE_KRAKEN_REST_URL", "http://127.0.0.1:9443/kraken/", "kraken_rest_url", "http://127.0.0.1:9443/kraken"),
    ("VIBE_BYBIT_LINEAR_WS_URL", "wss://x/base", "bybit_linear_ws_url", "wss://x/base"),
    ("VIBE_DATA_PATH", "/data", "data_path", Path("/data")),
    ("ANALYTICS_DATA_PATH", "/older", "data_path", Path("/older")),
    ("VIBE_HOST", "::1", "host", "::1"),
    ("VIBE_PORT", "9001", "port", 9001),
    ("PORT", "9002", "port", 9002),
    ("VIBE_ALLOWED_HOSTS", "a.example, b.example:8443,", "allowed_hosts", ("a.example", "b.example:8443")),
    ("VIBE_ALLOWED_ORIGINS", "https://chatgpt.com", "allowed_origins", ("https://chatgpt.com",)),
    ("VIBE_RETENTION_DAYS", "30", "retention_days", 30),
    ("VIBE_STORAGE_CAP_MB", "64", "storage_cap_mb", 64),
    ("VIBE_BACKFILL_HOURS", "0", "backfill_hours", 0),
    ("VIBE_LOG_LEVEL", "debug", "log_level", "DEBUG"),
    ("VIBE_LOG_FORMAT", "JSON", "log_format", "json"),
    ("VIBE_TOOL_PREFIX", "binance_", "tool_prefix", "binance_"),
]


@pytest.mark.parametrize(("name", "text", "field", "value"), VALUES, ids=[name for name, *_ in VALUES])
def test_each_variable_is_read(
    name: str, text: str, field: str, value: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert getattr(load_settings(), field) != value
    monkeypatch.setenv(name, text)
    assert getattr(load_settings(), field) == value
    assert unknown_variables() == []


def test_defaults_are_those_that_are_promised() -> None:
    settings = load_settings()
    assert settings.symbols == ("BTCUSDT", "ETHUSDT")
    assert settings.max_symbols == 20
    assert settings.rest_url == "https://data-api.binance.vision"
    assert settings.ws_url == "wss://data-stream.binance.vision"
    assert (settings.host, settings.port, settings.is_loopback) == ("127.0.0.1", 8000, True)
    assert (settings.allowed_hosts, settings.allowed_origins, settings.auth_token) == ((), (), None)
    assert (settings.retention_days, settings.storage_cap_mb, settings.backfill_hours) == (7, 1024, 24)
    assert (settings.log_level, settings.log_format, settings.tool_prefix) == ("INFO", "text", "")
    assert settings.data_path.is_absolute()


def test_a_relative_data_path_is_named_in_full(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VIBE_DATA_PATH", "./books")
    assert load_settings().data_path == tmp_path / "books"


def test_the_newer_name_counts_and_the_command_line_counts_more(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("PORT", "1"), ("VIBE_PORT", "2"), ("ANALYTICS_DATA_PATH", "/a"), ("VIBE_DATA_PATH", "/b")):
        monkeypatch.setenv(name, value)
    assert (load_settings().port, load_settings().data_path) == (2, Path("/b"))
    assert load_settings(port=3, host=None).port == 3


def test_a_variable_of_another_program_is_not_taken_for_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """DATA_PATH is common in containers; only the two names that are promised count."""
    default = load_settings().data_path
    monkeypatch.setenv("DATA_PATH", "/somebody/elses")
    assert load_settings().data_path == default


def test_a_file_named_env_is_read_and_the_environment_counts_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("VIBE_SYMBOLS=SOLUSDT\nVIBE_PORT=1234\nVIBE_SIMBOLS=x\nOTHER=1\n")
    monkeypatch.setenv("VIBE_PORT", "4321")
    settings = load_settings()
    assert (settings.symbols, settings.port) == (("SOLUSDT",), 4321)
    assert unknown_variables() == ["VIBE_SIMBOLS"]


def test_an_unreadable_file_named_env_is_said_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"VIBE_SYMBOLS=\xff\xfe\n")
    with pytest.raises(ConfigError, match="UTF-8"):
        load_settings()


def test_a_path_below_home_is_understood(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Hosts that start programs without a shell pass "~" on as it is."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("VIBE_DATA_PATH", "~/books")
    assert load_settings().data_path == tmp_path / "books"


def test_a_variable_in_a_path_is_understood_as_a_shell_would(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Else history goes into a directory of the name `$HOME`."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for text in ("$HOME/books", "${HOME}/books"):
        monkeypatch.setenv("VIBE_DATA_PATH", text)
        assert load_settings().data_path == tmp_path / "books"
    monkeypatch.delenv("VIBE_DATA_PATH")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "$HOME"))
    assert load_settings().data_path.parts[: len(tmp_path.parts)] == tmp_path.parts
    monkeypatch.setenv("XDG_DATA_HOME", "/x/$NOWHERE/data")
    with pytest.raises(ConfigError, match="VIBE_DATA_PATH is not set"):
        load_settings()
    monkeypatch.setenv("VIBE_DATA_PATH", "/data")
    assert load_settings().data_path == Path("/data")


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("*.Example.com", ("*.example.com",)),
        ("books.example:*", ("books.example",)),
        ("[2001:db8::1], 2001:db8::2, [2001:db8::3]:8000", ("2001:db8::1", "2001:db8::2", "[2001:db8::3]:8000")),
        ("10.1.2.3:8000,books_1", ("10.1.2.3:8000", "books_1")),
    ],
)
def test_hosts_are_read_as_they_are_compared(
    text: str, hosts: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIBE_ALLOWED_HOSTS", text)
    assert load_settings().allowed_hosts == hosts


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "::1", "127.0.0.2", "LocalHost", "::ffff:127.0.0.1"])
def test_every_spelling_of_this_machine_needs_no_word_about_who_may_come(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`[::1]` was refused as an address that others can reach."""
    monkeypatch.setenv("VIBE_HOST", host)
    settings = load_settings()
    settings.check_bind()
    assert "[" not in settings.host


WRONG: list[tuple[str, str, str]] = [
    ("VIBE_SYMBOLS", "BTC:USDT", "symbols separated by commas"),
    ("VIBE_SYMBOLS", "mexc:BTCUSDT", "mexc (MEXC) is not among the venues of this server yet"),
    ("VIBE_SYMBOLS", "BTCUSDT,mexc:BTC_USDT", "mexc (MEXC) is not among the venues of this server yet"),
    (
        "VIBE_SYMBOLS",
        "nowhere:BTCUSDT",
        "with nowhere, which is not a venue that this server knows; it keeps books of binance",
    ),
    ("VIBE_SYMBOLS", "BTC-PERP", "perpetuals and other futures are not among the markets"),
    ("VIBE_SYMBOLS", ",", "symbols separated by commas"),
    ("VIBE_SYMBOLS", "", "symbols separated by commas"),
    ("VIBE_MAX_SYMBOLS", "0", "1 to 500"),
    ("VIBE_MAX_SYMBOLS", "501", "1 to 500"),
    ("VIBE_MAX_SYMBOLS", "2.5", "1 to 500"),
    ("VIBE_REST_URL", "ftp://x", "http(s) URL"),
    ("VIBE_REST_URL", "https://x/api/v3", "without a path"),
    ("VIBE_REST_URL", "https://", "http(s) URL"),
    ("VIBE_REST_URL", "http://x:port", "http(s) URL"),
    ("VIBE_REST_URL", "http://x:99999", "http(s) URL"),
    ("VIBE_REST_URL", "http://[x", "http(s) URL"),
    ("VIBE_REST_URL", "http://a b", "http(s) URL"),
    ("VIBE_WS_URL", "https://x", "ws(s) URL"),
    ("VIBE_KRAKEN_WS_URL", "https://x", "ws(s) URL"),
    ("VIBE_BINANCE_USDM_REST_URL", "https://x/?a=b", "http(s) URL"),
    ("VIBE_DATA_PATH", "", "a directory"),
    ("ANALYTICS_DATA_PATH", "", "a directory"),
    ("VIBE_DATA_PATH", "~nobody-of-that-name/x", "a directory"),
    ("VIBE_DATA_PATH", "$NOWHERE/books", "a directory"),
    ("VIBE_DATA_PATH", "/data/${NOWHERE}", "a directory"),
    ("VIBE_ALLOWED_HOSTS", "*", "*.example.com"),
    ("VIBE_ALLOWED_HOSTS", "a.example,*", "*.example.com"),
    ("VIBE_ALLOWED_HOSTS", "*:8000", "*.example.com"),
    ("VIBE_ALLOWED_HOSTS", "books.*", "*.example.com"),
    ("VIBE_ALLOWED_HOSTS", "*example.com", "*.example.com"),
    ("VIBE_ALLOWED_HOSTS", "*.", "*.example.com"),
    ("VIBE_ALLOWED_HOSTS", "a.example/", "host names"),
    ("VIBE_ALLOWED_HOSTS", "https://a.example", "host names"),
    ("VIBE_ALLOWED_HOSTS", "a.example b.example", "host names"),
    ("VIBE_ALLOWED_HOSTS", ":8000", "host names"),
    ("VIBE_ALLOWED_ORIGINS", "*", "https://chatgpt.com"),
    ("VIBE_ALLOWED_ORIGINS", "https://*.example.com", "without wildcards"),
    ("VIBE_HOST", "", "an address"),
    ("VIBE_PORT", "65536", "0 to 65535"),
    ("VIBE_PORT", "http", "0 to 65535"),
    ("PORT", "-1", "0 to 65535"),
    ("VIBE_RETENTION_DAYS", "0", "1 to 365"),
    ("VIBE_STORAGE_CAP_MB", "1", "at least 64"),
    ("VIBE_BACKFILL_HOURS", "169", "0 (off) to 168"),
    ("VIBE_LOG_LEVEL", "LOUD", "DEBUG, INFO"),
    ("VIBE_LOG_FORMAT", "xml", "text or json"),
    ("VIBE_TOOL_PREFIX", "my tools", "letters, digits"),
]


@pytest.mark.parametrize(("name", "text", "allowed"), WRONG)
def test_a_wrong_value_names_the_variable_the_value_and_what_is_allowed(
    name: str, text: str, allowed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, text)
    with pytest.raises(ConfigError) as caught:
        load_settings()
    message = str(caught.value)
    shown = "'.'" if not text and "PATH" in name else repr(text)
    assert message.startswith(f"{name} is {shown}; it must be ") or text == ""
    assert message.startswith(f"{name} is ")
    assert allowed in message
    assert "pydantic" not in message
    assert "\n" not in message


def test_every_wrong_value_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIBE_PORT", "x")
    monkeypatch.setenv("VIBE_MAX_SYMBOLS", "y")
    with pytest.raises(ConfigError, match=r"VIBE_MAX_SYMBOLS is 'y'.*VIBE_PORT is 'x'"):
        load_settings()


def test_the_token_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIBE_AUTH_TOKEN", "sesame")
    with pytest.raises(ConfigError, match="at least 8 characters") as caught:
        load_settings()
    assert "sesame" not in str(caught.value)
    monkeypatch.setenv("VIBE_AUTH_TOKEN", "open-sesame\n")
    settings = load_settings()
    assert "sesame" not in repr(settings)
    assert "sesame" not in str(settings.model_dump())
    assert settings.auth_token is not None
    assert settings.auth_token.get_secret_value() == "open-sesame"
    monkeypatch.setenv("VIBE_AUTH_TOKEN", " ")
    assert load_settings().auth_token is None


def test_more_eager_symbols_than_allowed_are_refused() -> None:
    Settings(symbols="A1,B1,C1", max_symbols=3).check_symbols()
    with pytest.raises(ConfigError, match="VIBE_MAX_SYMBOLS is 2, and VIBE_SYMBOLS names 3"):
        Settings(symbols="A1,B1,C1", max_symbols=2).check_symbols()


def test_listening_to_everybody_needs_a_word_about_who_may_come() -> None:
    Settings(host="localhost").check_bind()
    Settings(host="0.0.0.0", allowed_hosts="books.example").check_bind()  # noqa: S104  # what is tested
    Settings(host="0.0.0.0", auth_token="long enough").check_bind()  # noqa: S104, S106  # what is tested
    with pytest.raises(ConfigError, match=r"VIBE_HOST is '0\.0\.0\.0'.*VIBE_ALLOWED_HOSTS"):
        Settings(host="0.0.0.0").check_bind()  # noqa: S104  # what is tested


def test_names_that_look_like_settings_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIBE_SIMBOLS", "x")
    monkeypatch.setenv("VIBE_ANALYTICS_DATA_PATH", "x")
    assert unknown_variables() == ["VIBE_ANALYTICS_DATA_PATH", "VIBE_SIMBOLS"]


def test_each_venue_has_addresses_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """The official ones, unless others are set."""
    monkeypatch.setenv("VIBE_WS_URL", "ws://127.0.0.1:1")
    monkeypatch.setenv("VIBE_KRAKEN_WS_URL", "ws://127.0.0.1:1/kraken")
    settings = load_settings()
    assert settings.addresses("binance") == ("https://data-api.binance.vision", "ws://127.0.0.1:1")
    assert settings.addresses("kraken") == ("https://api.kraken.com", "ws://127.0.0.1:1/kraken")
    assert settings.addresses("binance-usdm") == ("https://fapi.binance.com", "wss://fstream.binance.com")
