"""Outgoing connections: their proxy and their trusted certificates.

httpx and websockets read the environment in different ways, and each ends in a stack trace at a value that it cannot
use. So this module reads it once, by one rule for both. A host of this machine is reached without a proxy.
"""

from __future__ import annotations

import importlib
import importlib.util
import ipaddress
import os
import re
import ssl
from functools import cache
from pathlib import Path
from typing import TypedDict
from urllib.parse import SplitResult, urlsplit
from urllib.request import getproxies, getproxies_environment, proxy_bypass

from vibe_orderbook_mcp.model.errors import ConfigError

# The variables for a URL, in either case; the first one that is set counts. For streams RFC 6455, 4.1 says: SOCKS
# first, and the proxy for HTTPS before the one for HTTP.
PROXIES_FOR = {
    "http": ("http", "all"),
    "https": ("https", "all"),
    "ws": ("ws", "socks", "https", "http", "all"),
    "wss": ("wss", "socks", "https", "all"),
}
SCHEMES = ("http", "https", "socks5", "socks5h")
SOCKS_PACKAGES = ("socksio", "python_socks")
SOCKS_PORT = 1080
_SYSTEMS = "The system's proxy"


def socks_errors() -> tuple[type[Exception], ...]:
    """The exceptions of wrong SOCKS answers; httpx does not convert them."""
    if importlib.util.find_spec("socksio") is None:
        return ()
    return (importlib.import_module("socksio").SOCKSError,)


class ClientOptions(TypedDict):
    """Arguments for `httpx.AsyncClient`."""

    proxy: str | None
    verify: ssl.SSLContext | bool
    trust_env: bool


def client_options(url: str) -> ClientOptions:
    """For a client of this one host. Raises ConfigError."""
    is_plain = urlsplit(url).scheme == "http"
    return {
        "proxy": proxy_for(url),
        "verify": ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if is_plain else _certificates() or True,
        "trust_env": False,
    }


def check(*urls: str) -> None:
    """Raises ConfigError if the environment names a proxy or certificates that one of these URLs cannot use."""
    for url in urls:
        proxy_for(url)
        if urlsplit(url).scheme in ("https", "wss"):
            _certificates()


def is_loopback(host: str) -> bool:
    """Whether a host name or an address is this machine's own, without asking the network."""
    name = host.lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    address = _address(name)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address is not None and address.is_loopback


def proxy_for(url: str) -> str | None:
    """The proxy that the environment (or the system) names for this URL; None for a direct connection.

    Raises ConfigError, which names the variable, if that proxy cannot be used.
    """
    chosen = _chosen(url)
    return None if chosen is None else _checked(*chosen)


def route(url: str) -> str:
    """The route of a connection to this URL in words, without a path or credentials: "host:port", and the proxy.

    A SOCKS or HTTP proxy is named by its variable only.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    shown = f"[{host}]" if ":" in host else host
    port = parts.port or (443 if parts.scheme in ("https", "wss") else 80)
    chosen = _chosen(url)
    if chosen is None:
        return f"{shown}:{port}"
    variable = chosen[1]
    through = "the system's proxy" if variable.startswith(_SYSTEMS) else f"the proxy of {variable}"
    return f"{shown}:{port} through {through}"


def _chosen(url: str) -> tuple[str, str] | None:
    """The given proxy with a scheme, and the variable that names it."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if is_loopback(host):
        return None
    proxies = getproxies()
    scheme = next((name for name in PROXIES_FOR[parts.scheme] if proxies.get(name)), None)
    if scheme is None or _is_exempt(parts, proxies.get("no", "")):
        return None
    given = proxies[scheme].strip()
    if "://" not in given:
        given = ("socks5h://" if scheme == "socks" else "http://") + given
    elif scheme == "socks" and given.startswith("http://"):  # the spelling of some systems
        given = given.replace("http://", "socks5h://", 1)
    return given, _variable(scheme)


def _checked(proxy: str, variable: str) -> str:
    """The URL in a form that both libraries accept."""
    try:
        parts = urlsplit(proxy)
        is_usable = (
            parts.scheme in SCHEMES
            and parts.hostname
            and parts.port != 0
            and not (parts.path.strip("/") or parts.query or parts.fragment)
            and not any(map(str.isspace, proxy))
        )
    except ValueError:
        is_usable = False
    if not is_usable:
        raise ConfigError(
            f"{variable} is {_shown(proxy)}; it must be the URL of a proxy, such as http://proxy.example:3128 or "
            "socks5h://proxy.example:1080."
        )
    if parts.scheme.startswith("socks"):
        if any(importlib.util.find_spec(name) is None for name in SOCKS_PACKAGES):
            raise ConfigError(
                f"{variable} is {_shown(proxy)}, and a SOCKS proxy needs the extra `socks`: "
                "pip install 'vibe-orderbook-mcp[socks]'."
            )
        if parts.port is None:  # the default is 1080 in one library and 80 in the other
            proxy = proxy.rstrip("/") + f":{SOCKS_PORT}"
    if parts.username is not None and parts.password is None:
        proxy = proxy.replace("@", ":@", 1)
    return proxy


def _variable(scheme: str) -> str:
    """The variable's name in the environment; system settings have none."""
    lower = f"{scheme}_proxy"
    names = [name for name in os.environ if name.lower() == lower]
    return lower if lower in names else names[0] if names else f"{_SYSTEMS} for {scheme}"


def _shown(proxy: str) -> str:
    """Without the password."""
    return repr(re.sub(r"://[^/@]*@", "://...@", proxy)[:100])


def _is_exempt(parts: SplitResult, no_proxy: str) -> bool:
    """NO_PROXY: names with all names below them, addresses, networks, with a port or without, `*` for everything."""
    host, port = (parts.hostname or "").rstrip("."), parts.port
    port = port or (443 if parts.scheme in ("https", "wss") else 80)
    address = _address(host)
    for entry in filter(None, re.split(r"[,\s]+", no_proxy.lower())):
        if entry == "*":
            return True
        name, entry_port = _split_port(entry)
        if entry_port not in (None, str(port)):
            continue
        if address is not None:
            network = _network(name)
            if network is not None and address in network:
                return True
        else:
            name = name.lstrip("*").strip(".")
            if name and (host == name or host.endswith(f".{name}")):
                return True
    return not getproxies_environment() and bool(proxy_bypass(f"{host}:{port}"))  # exceptions of the system settings


def _split_port(entry: str) -> tuple[str, str | None]:
    """("name or address", "port" or None); an IPv6 address may have brackets."""
    if match := re.fullmatch(r"\[([^\]]*)\](?::(\d+))?", entry):
        return match[1], match[2]
    name, colon, port = entry.rpartition(":")
    return (name, port) if colon and port.isdigit() and ":" not in name else (entry, None)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def _certificates() -> ssl.SSLContext | None:
    """The certificates that SSL_CERT_FILE or SSL_CERT_DIR names; None for the libraries' own. Raises ConfigError."""
    key_log = os.environ.get("SSLKEYLOGFILE")
    if key_log and not _can_append(key_log):
        raise ConfigError(f"SSLKEYLOGFILE is {key_log[:100]!r}; it must be a file that can be written, or unset.")
    if file := os.environ.get("SSL_CERT_FILE"):
        try:
            return _trusting(file, Path(file).stat().st_mtime_ns)
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"SSL_CERT_FILE is {file[:100]!r}; it must be a file with certificates "
                f"({getattr(error, 'strerror', None) or 'it holds none'})."
            ) from None
    if directory := os.environ.get("SSL_CERT_DIR"):
        places = [Path(place) for place in directory.split(os.pathsep) if place]
        if not any(place.is_dir() for place in places):
            raise ConfigError(f"SSL_CERT_DIR is {directory[:100]!r}; it must be a directory with certificates.")
        return ssl.create_default_context(capath=directory)
    return None


@cache
def _trusting(file: str, _changed_ns: int) -> ssl.SSLContext:
    """Reading a bundle of certificates takes many milliseconds."""
    return ssl.create_default_context(cafile=file)


def _can_append(path: str) -> bool:
    try:
        with Path(path).open("ab"):
            return True
    except OSError:
        return False
