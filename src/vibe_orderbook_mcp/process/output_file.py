"""Output files of commands: a command without a result never replaces an existing file.

A name that ends in `.gz` compresses. Pipes and devices are written directly: they have no content to lose.
"""

from __future__ import annotations

import errno
import gzip
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, cast

from vibe_orderbook_mcp.model.errors import ConfigError

_DEVICES = ("/dev/", "/proc/")  # with a shell's `>`, `/dev/stdout` is a regular file


def check_output(path: Path, *, force: bool) -> None:
    """Check before any work that the file can be written. Raises ConfigError."""
    if _is_device(path):
        return
    try:
        is_there, is_place = path.exists(), path.parent.is_dir()
    except OSError as error:  # a name that is too long, a directory that may not be entered
        raise _unwritable(path, error) from error
    code = None
    if not is_there:
        code = None if is_place else errno.ENOENT
    elif path.is_dir():
        code = errno.EISDIR
    elif not force:
        raise _exists(path)
    if code is None and not os.access(path if is_there else path.parent, os.W_OK):
        code = errno.EACCES
    if code is not None:
        raise _unwritable(path, OSError(code, os.strerror(code)))


def open_output(path: Path, *, force: bool) -> BinaryIO:
    """An empty file to write. An existing one is emptied only with `force`. Raises ConfigError."""
    mode = "wb" if force or _is_device(path) else "xb"
    try:
        return cast("BinaryIO", gzip.GzipFile(path, mode) if path.suffix == ".gz" else path.open(mode))
    except FileExistsError as error:
        raise _exists(path) from error
    except OSError as error:
        raise _unwritable(path, error) from error


@contextmanager
def whole_output(path: Path, *, force: bool) -> Iterator[BinaryIO]:
    """A file that gets its name when everything is written: until then, and after an error, `path` is unchanged.

    Raises ConfigError.
    """
    check_output(path, force=force)
    if _is_device(path):
        with open_output(path, force=True) as sink:
            yield sink
        return
    target = path.resolve()  # a link stays one
    part = target.with_name(f".{target.name[:200]}.{os.getpid()}.part")
    try:
        plain = part.open("xb")
    except OSError as error:
        raise _unwritable(path, error) from error
    try:
        with ExitStack() as stack:
            stack.enter_context(plain)
            compressed = gzip.GzipFile(target.name, "wb", fileobj=plain) if path.suffix == ".gz" else None
            yield cast("BinaryIO", plain if compressed is None else stack.enter_context(compressed))
        _give_name(part, target, force=force)
    except BaseException:  # also at a stop
        with suppress(OSError):
            part.unlink()
        raise


def _give_name(part: Path, target: Path, *, force: bool) -> None:
    if target.exists():
        if not force:
            raise _exists(target)  # created meanwhile
        shutil.copymode(target, part)
    part.replace(target)


def _is_device(path: Path) -> bool:
    if str(path.absolute()).startswith(_DEVICES):
        return True
    try:
        return path.exists() and not path.is_file() and not path.is_dir()
    except OSError:
        return False


def _exists(path: Path) -> ConfigError:
    return ConfigError(f"{path} exists already: choose another name, or replace it with --force.")


def _unwritable(path: Path, error: OSError) -> ConfigError:
    return ConfigError(f"{path} cannot be written ({error.strerror}).")
