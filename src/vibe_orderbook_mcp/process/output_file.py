"""Files that commands write for their user: an existing one is never lost to a command that brought nothing.

A name that ends in `.gz` compresses. Pipes and devices are written as they are: there is nothing to lose in them.
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

_DEVICES = ("/dev/", "/proc/")  # `/dev/stdout` of a shell's `>` is a regular file


def check_output(path: Path, *, force: bool) -> None:
    """Before any work: whether the file can be written at all. Raises ConfigError."""
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
    """A file that gets its name when everything is written: until then, and after an error, `path` is as it was.

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
    except BaseException:  # a stop as well
        with suppress(OSError):
            part.unlink()
        raise


def _give_name(part: Path, target: Path, *, force: bool) -> None:
    if target.exists():
        if not force:
            raise _exists(target)  # it came meanwhile
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
    return ConfigError(f"{path} exists already and is left as it is: choose another name, or replace it with --force.")


def _unwritable(path: Path, error: OSError) -> ConfigError:
    return ConfigError(f"{path} cannot be written ({error.strerror}).")
