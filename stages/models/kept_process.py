"""A process that ends with this one, with all that it started, however this one ends."""

import os
import select
import signal
import subprocess
import sys
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

from stages.models import server_keeper

PATIENCE_S = server_keeper.PATIENCE_S + 5


class KeptProcess:
    """Runs a command under a keeper, see `stages.models.server_keeper`.

    Args:
        command: and its arguments.
        environment: of the process.
        log: file that takes what it prints.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        keeper = [sys.executable, "-I", server_keeper.__file__, uuid.uuid4().hex]
        with log.open("ab") as printed:
            starter = subprocess.Popen(
                [*keeper, *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=printed,
                env=dict(environment),
            )
        assert starter.stdin is not None
        assert starter.stdout is not None
        self._life, self._words = starter.stdin, starter.stdout
        starter.wait()
        self._keeper_pid = int(self._words.readline())
        self._exit_code: int | None = None

    def exit_code(self, within_s: float = 0.0) -> int | None:
        """Of the process; None where it still runs after so long, and -9 where its keeper was killed, which kills it.

        It is told once all that the process started has ended too.
        """
        if self._exit_code is None and select.select([self._words], [], [], within_s)[0]:
            self._exit_code = int(self._words.readline() or -signal.SIGKILL)
        return self._exit_code

    def close(self) -> None:
        """End it, and wait until it has ended."""
        self._life.close()
        if self._exit_code is None and not select.select([self._words], [], [], PATIENCE_S)[0]:
            os.kill(self._keeper_pid, signal.SIGKILL)  # not a child that could be waited for; the process dies with it
        self._words.close()
