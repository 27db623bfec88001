"""Settings: environment or a `.env` file, prefix `VIBE_`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from dotenv import dotenv_values
from platformdirs import user_data_path
from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from vibe_orderbook_mcp.core.symbol import normal_symbol
from vibe_orderbook_mcp.errors import ConfigError

PREFIX = "VIBE_"
ENV_FILE = ".env"
LOOPBACK = ("127.0.0.1", "localhost", "::1")

CommaList = Annotated[tuple[str, ...], NoDecode]


def default_data_path() -> Path:
    return user_data_path("vibe-orderbook-mcp") / "history"


class Settings(BaseSettings):
    """Field descriptions are what an error message says is allowed."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_file=ENV_FILE, env_file_encoding="utf-8", extra="ignore", frozen=True
    )

    symbols: CommaList = Field(
        ("BTCUSDT", "ETHUSDT"), description="symbols separated by commas, such as BTCUSDT,ETHUSDT"
    )
    max_symbols: int = Field(20, ge=1, le=500, description="a whole number from 1 to 500")
    rest_url: str = Field("https://data-api.binance.vision", description="an http(s) URL without a path")
    ws_url: str = Field("wss://data-stream.binance.vision", description="a ws(s) URL without a path")
    data_path: Path = Field(
        default_factory=default_data_path,
        validation_alias=AliasChoices("VIBE_DATA_PATH", "ANALYTICS_DATA_PATH", "data_path"),
        description="a directory that can be created and written",
    )
    host: str = Field("127.0.0.1", min_length=1, description="an address or host name to listen on")
    port: int = Field(
        8000,
        ge=0,
        le=65535,
        validation_alias=AliasChoices("VIBE_PORT", "PORT", "port"),
        description="a port number from 0 to 65535 (0 takes a free one)",
    )
    allowed_hosts: CommaList = Field((), description="host names separated by commas, such as books.example.com")
    allowed_origins: CommaList = Field((), description="origins separated by commas, such as https://chatgpt.com")
    auth_token: SecretStr | None = Field(None, description="a token of at least 8 characters")
    retention_days: int = Field(7, ge=1, le=365, description="a whole number of days from 1 to 365")
    storage_cap_mb: int = Field(1024, ge=64, le=1_000_000, description="a whole number of megabytes, at least 64")
    backfill_hours: int = Field(24, ge=0, le=168, description="a whole number of hours from 0 (off) to 168")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = Field(
        "INFO", description="one of DEBUG, INFO, WARNING, ERROR, CRITICAL"
    )
    log_format: Literal["text", "json"] = Field("text", description="text or json")
    tool_prefix: str = Field("", pattern=r"^[A-Za-z0-9_-]{0,32}$", description="up to 32 letters, digits, _ or -")

    @field_validator("symbols", "allowed_hosts", "allowed_origins", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("symbols")
    @classmethod
    def _normalise(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        symbols = [normal_symbol(text) for text in value]
        if not symbols or None in symbols:
            raise ValueError("not a list of symbols")
        return tuple(dict.fromkeys(symbol for symbol in symbols if symbol is not None))

    @field_validator("log_level", "log_format", mode="before")
    @classmethod
    def _any_case(cls, value: Any, info: Any) -> Any:
        if isinstance(value, str):
            return value.upper() if info.field_name == "log_level" else value.lower()
        return value

    @field_validator("rest_url", "ws_url")
    @classmethod
    def _base_url(cls, value: str, info: Any) -> str:
        parts = urlsplit(value)
        schemes = ("http", "https") if info.field_name == "rest_url" else ("ws", "wss")
        if parts.scheme not in schemes or not parts.hostname or parts.path.strip("/") or parts.query or parts.username:
            raise ValueError("not a base URL")
        return value.rstrip("/")

    @field_validator("auth_token")
    @classmethod
    def _long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not value.get_secret_value():
            return None
        if value is not None and len(value.get_secret_value()) < 8:
            raise ValueError("too short")
        return value

    @property
    def is_loopback(self) -> bool:
        return self.host in LOOPBACK

    def check_bind(self) -> None:
        """Beyond loopback somebody must have said who may come in."""
        if not self.is_loopback and not self.allowed_hosts and self.auth_token is None:
            raise ConfigError(
                f"VIBE_HOST is {self.host!r}, which others can reach: set VIBE_ALLOWED_HOSTS to the host names that "
                "clients will use, or VIBE_AUTH_TOKEN, or listen on 127.0.0.1."
            )


def load_settings(**overrides: Any) -> Settings:
    """Read settings; `overrides` (from the command line) win. Raises ConfigError with one sentence a wrong value."""
    try:
        return Settings(**{name: value for name, value in overrides.items() if value is not None})
    except ValidationError as error:
        raise ConfigError(" ".join(_sentence(dict(item)) for item in error.errors())) from None


def unknown_variables() -> list[str]:
    """Names that look like settings and are none: most likely misspelt."""
    known = {f"{PREFIX}{name}".upper() for name in Settings.model_fields} | {"VIBE_TEST_RECORDINGS"}
    names = {*os.environ, *dotenv_values(ENV_FILE)}
    return sorted(name for name in names if name.upper().startswith(PREFIX) and name.upper() not in known)


def _sentence(item: dict[str, Any]) -> str:
    location = str(item["loc"][0])
    field = location.lower().removeprefix(PREFIX.lower())
    field = {"analytics_data_path": "data_path"}.get(field, field)
    name = location if location.isupper() else f"{PREFIX}{location.upper()}"
    allowed = Settings.model_fields[field].description if field in Settings.model_fields else "another value"
    shown = "(hidden)" if field == "auth_token" else repr(str(item.get("input"))[:100])
    return f"{name} is {shown}; it must be {allowed}."
