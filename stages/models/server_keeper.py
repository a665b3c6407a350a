"""The keeper of a server: starts it, and ends it with all that it started when whoever asked for it is gone.

    python server_keeper.py TOKEN COMMAND ARGUMENT... < pipe

It waits for the end of its standard input, which the system closes however the process at the other end ends, SIGKILL
included; or for the end of the server. On standard output it writes its own process id, and last the server's exit
code. It is no child of whoever started it, for Ray kills the children of a worker, and theirs would stay. It imports
only the standard library.
"""

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

CHECK_INTERVAL_S = 0.5
PATIENCE_S = 10.0
"""Time that the server has to end by itself, after SIGTERM; then SIGKILL."""
SHORT_PATIENCE_S = 1.0
"""The same of what it started and left."""
INTERVAL_S = 0.05
TOKEN_VARIABLE = "CURATOR_SERVER"
"""Environment variable by which the processes of a server are known, also those in a session of their own."""
NOT_STARTED = 127
"""Exit code of a command that cannot be run, as in a shell."""
_PR_SET_PDEATHSIG = 1


def keep(token: str, command: Sequence[str]) -> int:
    """Run the server until standard input or the server ends; returns its exit code, or 0 where it was ended."""
    try:
        server = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr,
            env={**os.environ, TOKEN_VARIABLE: token},
            preexec_fn=_die_with_parent,
        )
    except OSError as error:
        os.write(sys.stderr.fileno(), f"{error}\n".encode())
        return NOT_STARTED
    while server.poll() is None:
        if select.select([sys.stdin], [], [], CHECK_INTERVAL_S)[0] and not os.read(sys.stdin.fileno(), 1):
            _end(server, token)
            return 0
    _end(server, token)
    return server.returncode


def leave_parent() -> None:
    """Go on as a process of no parent, in a session of its own, where no terminal reaches it."""
    if os.fork():
        os._exit(0)
    os.setsid()


def _die_with_parent() -> None:
    """Let the server be killed where this keeper is."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _end(server: "subprocess.Popen[bytes]", token: str) -> None:
    """End the server and all processes that carry its token: asked first, then killed."""
    for pid in _members(token):
        _signal(pid, signal.SIGTERM)
    _wait(PATIENCE_S, lambda: server.poll() is not None)
    _wait(SHORT_PATIENCE_S, lambda: not _members(token))
    while members := _members(token):
        for pid in members:
            _signal(pid, signal.SIGKILL)
        time.sleep(INTERVAL_S)
        server.poll()  # lets the system forget it


def _wait(longest_s: float, is_over: Callable[[], bool]) -> None:
    deadline = time.monotonic() + longest_s
    while not is_over() and time.monotonic() < deadline:
        time.sleep(INTERVAL_S)


def _members(token: str) -> list[int]:
    """Processes with the token in their environment; zombies, whose environment is empty, are none."""
    wanted, found = f"{TOKEN_VARIABLE}={token}".encode(), []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            with contextlib.suppress(OSError):
                if wanted in (folder / "environ").read_bytes().split(b"\0"):
                    found.append(int(folder.name))
    return found


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


if __name__ == "__main__":
    leave_parent()
    os.write(sys.stdout.fileno(), f"{os.getpid()}\n".encode())
    os.write(sys.stdout.fileno(), f"{keep(sys.argv[1], sys.argv[2:])}\n".encode())
