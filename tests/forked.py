"""Commands in processes of their own that do not each spend a second on the same imports.

One process has the program's modules and runs nothing. Each command is a fork of it, with its own arguments, directory,
environment, standard files and exit code.
"""

from __future__ import annotations

import atexit
import gc
import os
import signal
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import NamedTuple

import msgspec

from tests.folders import ROOT
from tests.patience import PATIENCE_SECS

SERVER = "from tests.forked import serve; serve()"


class Call(msgspec.Struct):
    arguments: list[str]
    cwd: str
    env: dict[str, str]
    out: str
    err: str


class Output(NamedTuple):
    code: int  # below 0: the signal that ended it
    out: bytes
    err: str


def command(*arguments: str, cwd: Path, env: dict[str, str]) -> Output:
    """Run to its end. Its standard input is empty."""
    server = _server()
    assert server.stdin is not None
    assert server.stdout is not None
    with tempfile.NamedTemporaryFile() as out, tempfile.NamedTemporaryFile() as err:
        call = Call(list(arguments), str(cwd), env, out.name, err.name)
        server.stdin.write(msgspec.json.encode(call) + b"\n")
        code = int(server.stdout.readline())
        return Output(code, out.read(), err.read().decode())


@cache
def _server() -> subprocess.Popen[bytes]:
    server = subprocess.Popen(  # noqa: S603  # our own line
        [sys.executable, "-c", SERVER], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    )
    atexit.register(_end, server)
    return server


def _end(server: subprocess.Popen[bytes]) -> None:
    for file in (server.stdin, server.stdout):
        assert file is not None
        file.close()
    server.wait()


def serve() -> None:
    """The process that has the modules. Ends with its input."""
    # As `python -m vibe_orderbook_mcp` does, and what its commands import later.
    import vibe_orderbook_mcp.cli
    import vibe_orderbook_mcp.collect.importing
    import vibe_orderbook_mcp.serve.mcp_server
    import vibe_orderbook_mcp.serve.serving
    import vibe_orderbook_mcp.sim.server
    import vibe_orderbook_mcp.store.offline
    import vibe_orderbook_mcp.venues.recording
    import vibe_orderbook_mcp.verify.command  # noqa: F401  # forks have them all
    from vibe_orderbook_mcp.__main__ import main

    gc.disable()
    gc.freeze()  # or each fork would look through all of it at its end
    for line in sys.stdin.buffer:
        pid = os.fork()
        if not pid:
            _become(msgspec.json.decode(line, type=Call))
            main()
            return
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)  # noqa: T201  # the answer


def _become(call: Call) -> None:
    gc.enable()
    signal.alarm(int(PATIENCE_SECS))
    os.chdir(call.cwd)
    os.environ.clear()
    os.environ.update(call.env)
    sys.argv[1:] = call.arguments
    for number, path, flags in ((0, os.devnull, os.O_RDONLY), (1, call.out, os.O_WRONLY), (2, call.err, os.O_WRONLY)):
        file = os.open(path, flags)
        os.dup2(file, number)
        os.close(file)
