"""Settings: environment or a `.env` file, prefix `VIBE_`."""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from dotenv import dotenv_values
from dotenv.parser import parse_stream
from platformdirs import user_data_path
from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from vibe_orderbook_mcp.model.errors import ConfigError
from vibe_orderbook_mcp.model.naming import NameRefused, read_instruments
from vibe_orderbook_mcp.process.addresses import VenueAddresses, base_url
from vibe_orderbook_mcp.process.foreign import foreign_entries
from vibe_orderbook_mcp.process.outbound import is_loopback

PREFIX = "VIBE_"
ENV_FILE = ".env"
# Host names that a client on this machine uses.
LOOPBACK = ("127.0.0.1", "localhost", "::1")

# Settings with other names too; the first one that is set counts.
ALIASED = {
    "VIBE_DATA_PATH": "data_path",
    "ANALYTICS_DATA_PATH": "data_path",
    "VIBE_PORT": "port",
    "PORT": "port",
}

# python-dotenv logs each bad line at each reading, without the name of the file: `unreadable_lines` reports them once.
logging.getLogger("dotenv.main").setLevel(logging.ERROR)

# Variables that are not settings and have no effect in a `.env` file: they are read without it.
ENVIRONMENT_ONLY = {"VIBE_PURE_PYTHON", "VIBE_TEST_RECORDINGS"}

CommaList = Annotated[tuple[str, ...], NoDecode]


# A host name of an allow-list: labels, or an address. `*` as the first label allows all names below the rest.
_HOST = re.compile(r"(?:\*\.)?[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?|[0-9a-f:.]*:[0-9a-f:.]*")
_VARIABLE = re.compile(r"\$(?:\w+|\{[^}]*\})")


def default_data_path() -> Path:
    """Raises ConfigError: for a user without a home directory, `~` would become a directory with that name."""
    path = user_data_path("vibe-orderbook-mcp") / "history"
    try:
        return own_directory(path)
    except ValueError:
        raise ConfigError(
            f"VIBE_DATA_PATH is not set, and {str(path)!r}, which the environment (HOME, XDG_DATA_HOME) gives instead, "
            "cannot be used: set it to a directory that can be created and written."
        ) from None


def own_directory(path: Path) -> Path:
    """Expands `~` and `$HOME` like a shell, because MCP hosts do not. Raises ValueError."""
    if path == Path():  # set but empty would mean the working directory
        raise ValueError("empty")
    text = os.path.expandvars(path)
    if _VARIABLE.search(text):
        raise ValueError("a variable that is not set")
    try:
        found = Path(text).expanduser()
    except RuntimeError:
        raise ValueError("no such user") from None
    if found.parts[:1] == ("~",):
        raise ValueError("no home directory")
    return found.absolute()  # an absolute path: log lines and answers name it


class Settings(VenueAddresses):
    """Field descriptions are part of error messages: they say what is allowed."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_file=ENV_FILE,
        env_file_encoding="utf-8",
        extra="ignore",
        frozen=True,
        populate_by_name=True,
    )

    symbols: CommaList = Field(
        ("BTCUSDT", "ETHUSDT"),
        description="symbols separated by commas, such as BTCUSDT,ETHUSDT or binance:BTCUSDT",
    )
    max_symbols: int = Field(20, ge=1, le=500, description="a whole number from 1 to 500")
    rest_url: str = Field("https://data-api.binance.vision", description="an http(s) URL without a path")
    ws_url: str = Field("wss://data-stream.binance.vision", description="a ws(s) URL without a path")
    data_path: Path = Field(
        default_factory=default_data_path,
        validation_alias=AliasChoices("VIBE_DATA_PATH", "ANALYTICS_DATA_PATH"),
        description="a directory that can be created and written",
    )
    host: str = Field("127.0.0.1", min_length=1, description="an address or host name to listen on")
    port: int = Field(
        8000,
        ge=0,
        le=65535,
        validation_alias=AliasChoices("VIBE_PORT", "PORT"),
        description="a port number from 0 to 65535 (0 takes a free one)",
    )
    allowed_hosts: CommaList = Field(
        (),
        description="host names separated by commas, such as books.example.com, or *.example.com for all below it",
    )
    allowed_origins: CommaList = Field(
        (), description="origins separated by commas, such as https://chatgpt.com, without wildcards"
    )
    auth_token: SecretStr | None = Field(None, description="a token of at least 8 characters")
    oauth_issuer: str | None = Field(None, description="the https URL that an authorization server names itself by")
    oauth_jwks_url: str | None = Field(None, description="the https URL of the authorization server's public keys")
    oauth_resource: str | None = Field(None, description="the https URL that clients reach this server by, no path")
    oauth_audience: str | None = Field(None, description="the audience that access tokens for this server name")
    oauth_scopes: CommaList = Field((), description="scopes separated by commas that an access token must have")
    retention_days: int = Field(7, ge=1, le=365, description="a whole number of days from 1 to 365")
    storage_cap_mb: int = Field(1024, ge=64, le=1_000_000, description="a whole number of megabytes, at least 64")
    backfill_hours: int = Field(24, ge=0, le=168, description="a whole number of hours from 0 (off) to 168")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = Field(
        "INFO", description="one of DEBUG, INFO, WARNING, ERROR, CRITICAL"
    )
    log_format: Literal["text", "json"] = Field("text", description="text or json")
    tool_prefix: str = Field("", pattern=r"^[A-Za-z0-9_-]{0,32}$", description="up to 32 letters, digits, _ or -")

    @field_validator("symbols", "allowed_hosts", "allowed_origins", "oauth_scopes", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("symbols")
    @classmethod
    def _normalise(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        try:
            return tuple(instrument.name for instrument in read_instruments(value))
        except NameRefused as refused:
            raise ValueError(str(refused)) from None

    @field_validator("log_level", "log_format", mode="before")
    @classmethod
    def _any_case(cls, value: Any, info: Any) -> Any:
        if isinstance(value, str):
            return value.upper() if info.field_name == "log_level" else value.lower()
        return value

    @field_validator("rest_url", "ws_url")
    @classmethod
    def _base_url(cls, value: str, info: Any) -> str:
        return base_url(value, is_rest=info.field_name == "rest_url", with_path=False)

    @field_validator("data_path")
    @classmethod
    def _own_directory(cls, value: Path) -> Path:
        return own_directory(value)

    @field_validator("allowed_hosts", "allowed_origins")
    @classmethod
    def _host_or_origin(cls, value: tuple[str, ...], info: Any) -> tuple[str, ...]:
        """ "https://x" among hosts, or "x" among origins, would look right and let nobody in. So would `*`."""
        if info.field_name == "allowed_hosts":
            return tuple(map(_allowed_host, value))
        if any("://" not in item or "*" in item for item in value):
            raise ValueError("no origin")
        return value

    @field_validator("host")
    @classmethod
    def _without_brackets(cls, value: str) -> str:
        """`[::1]` is how a URL spells `::1`."""
        return value[1:-1] if value.startswith("[") and value.endswith("]") else value

    @field_validator("auth_token")
    @classmethod
    def _long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        # Read from a file it may end in a newline, which no header can carry.
        token = "" if value is None else value.get_secret_value().strip()
        if token and len(token) < 8:
            raise ValueError("too short")
        return SecretStr(token) if token else None

    @field_validator("oauth_issuer", "oauth_jwks_url", "oauth_resource")
    @classmethod
    def _secure_url(cls, value: str | None, info: Any) -> str | None:
        """Keys or tokens over plain HTTP could be anybody's; on this machine they cannot."""
        if not value:
            return None
        parts = urlsplit(value)
        is_ours = is_loopback(parts.hostname or "")
        is_plain_enough = parts.scheme == "https" or (parts.scheme == "http" and is_ours)
        if (
            not is_plain_enough
            or not parts.hostname
            or parts.username
            or parts.fragment
            or any(map(str.isspace, value))
        ):
            raise ValueError("not an https URL")
        if info.field_name == "oauth_resource" and (parts.path.strip("/") or parts.query):
            raise ValueError("a path")
        return value.rstrip("/") if info.field_name == "oauth_resource" else value

    @field_validator("oauth_audience")
    @classmethod
    def _empty_is_unset(cls, value: str | None) -> str | None:
        return value or None

    @property
    def is_loopback(self) -> bool:
        return is_loopback(self.host)

    @property
    def is_open_to_all(self) -> bool:
        """Whether every machine that reaches the port may use the server."""
        return not self.is_loopback and self.auth_token is None and not self.has_oauth

    @property
    def has_oauth(self) -> bool:
        return self.oauth_issuer is not None

    def check_oauth(self) -> None:
        """Half of it would let in nobody, or everybody."""
        needed = ("oauth_issuer", "oauth_jwks_url", "oauth_resource")
        missing = [f"{PREFIX}{name.upper()}" for name in needed if getattr(self, name) is None]
        if missing and (len(missing) < len(needed) or self.oauth_audience or self.oauth_scopes):
            raise ConfigError(f"OAuth needs {' and '.join(missing)} too; without OAuth set none of VIBE_OAUTH_....")

    def check_data_path(self) -> None:
        """A file where the directory should be, or files of somebody else in it, will not go away by waiting."""
        if self.data_path.exists() and not self.data_path.is_dir():
            raise ConfigError(f"VIBE_DATA_PATH is {str(self.data_path)!r}, which is a file; it must be a directory.")
        try:
            foreign = foreign_entries(self.data_path)
        except OSError:  # it does not exist yet, or may not be read now
            return
        if foreign:
            more = f" and {len(foreign) - 1} more" if len(foreign) > 1 else ""
            raise ConfigError(
                f"VIBE_DATA_PATH is {str(self.data_path)!r}, which holds {foreign[0][:80]!r}{more}, not "
                "of this program: set it to an empty directory or to one with its history."
            )

    def check_bind(self) -> None:
        """Beyond loopback somebody must have said who may come in."""
        if self.is_open_to_all and not self.allowed_hosts:
            raise ConfigError(
                f"VIBE_HOST is {self.host!r}, which others can reach: set VIBE_AUTH_TOKEN or VIBE_OAUTH_..., or "
                "VIBE_ALLOWED_HOSTS to the host names that clients will use where everybody who can reach this port "
                "may come in, or listen on 127.0.0.1."
            )

    def check_symbols(self) -> None:
        """What is subscribed at start has to fit under the limit."""
        if len(self.symbols) > self.max_symbols:
            raise ConfigError(
                f"VIBE_MAX_SYMBOLS is {self.max_symbols}, and VIBE_SYMBOLS names {len(self.symbols)}: it must be at "
                "least as many."
            )


def _allowed_host(item: str) -> str:
    """Lower case, an IPv6 address without its brackets, `name:*` as `name`. Raises ValueError."""
    name, colon, port = item.lower().rpartition(":")
    has_port = bool(colon) and (port == "*" or port.isdigit()) and (":" not in name or name.endswith("]"))
    name = name if has_port else item.lower()
    if name.startswith("[") and name.endswith("]"):
        name = name[1:-1]
    if not _HOST.fullmatch(name):
        raise ValueError("no host name")
    if not has_port or port == "*":
        return name
    return f"[{name}]:{port}" if ":" in name else f"{name}:{port}"


def load_settings(**overrides: Any) -> Settings:
    """Read settings; `overrides` (from the command line) win. Raises ConfigError with one sentence a wrong value."""
    try:
        return Settings(**{name: value for name, value in overrides.items() if value is not None})
    except ValidationError as error:
        raise ConfigError(" ".join(_sentence(dict(item)) for item in error.errors())) from None
    except (OSError, UnicodeDecodeError):
        raise ConfigError(f"{ENV_FILE} in the working directory cannot be read as UTF-8 text.") from None


def unreadable_lines() -> list[str]:
    """Lines of the `.env` file that are not `NAME=value`, as sentences. They have no effect."""
    file = Path(ENV_FILE)
    if not file.is_file():
        return []
    with file.open(encoding="utf-8") as stream:
        numbers = [binding.original.line for binding in parse_stream(stream) if binding.error]
    return [f"Line {number} of {file.absolute()} is not NAME=value; it is ignored" for number in numbers]


def unknown_variables() -> list[str]:
    """Names that look like settings and are none: most likely misspelt."""
    known = {f"{PREFIX}{name}".upper() for name in Settings.model_fields}
    names = {*(os.environ.keys() - ENVIRONMENT_ONLY), *dotenv_values(ENV_FILE)}
    return sorted(name for name in names if name.upper().startswith(PREFIX) and name.upper() not in known)


def _sentence(item: dict[str, Any]) -> str:
    location = str(item["loc"][0])
    field = ALIASED.get(location, location)
    names = [alias for alias, name in ALIASED.items() if name == field] or [f"{PREFIX}{field.upper()}"]
    given = {name.upper() for name in (*os.environ, *dotenv_values(ENV_FILE))}
    name = next((name for name in names if name in given), names[0])
    allowed = Settings.model_fields[field].description if field in Settings.model_fields else "another value"
    shown = "(hidden)" if field == "auth_token" else repr(str(item.get("input"))[:100])
    # Of a name there is more to say: its venue may be one that is not there yet.
    why = f": {item['ctx']['error']}" if field == "symbols" and "ctx" in item else "."
    return f"{name} is {shown}; it must be {allowed}{why}"
