"""A shell in which the commands of a page are typed one after another, by a reader without settings of their own."""

import os
import re
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.faults.waiting import communicate, wait_for

_OF_OTHERS = re.compile(r"DAGSTER_|CURATOR_|PYTHONPATH|VIRTUAL_ENV|MAKE|MFLAGS")
_SERVING = re.compile(r"Serving dagster-webserver on (http://\S+)")


class ReaderShell:
    """Keeps variables and folder from one command to the next, as a terminal does.

    Args:
        folder: where the reader begins.
        home: their home folder.
        variables: of the environment, beside those of this process that set up nothing of this project.
    """

    def __init__(self, folder: Path, home: Path, **variables: str) -> None:
        inherited = {name: value for name, value in os.environ.items() if not _OF_OTHERS.match(name)}
        home.mkdir(exist_ok=True)
        self.variables = {**inherited, "HOME": str(home), **variables}
        self.folder = folder
        self._state = home / "state"

    def type(self, script: str) -> str:
        """What the commands print; each must succeed."""
        # Commands of a reader have no stdin that waits: the shell reads the script from its arguments.
        text = f'set -e\n{script}\n{{ pwd; env -0; }} > "{self._state}"'
        with subprocess.Popen(
            ["bash", "-c", text],
            cwd=self.folder,
            env=self.variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            try:
                printed = communicate(process)[0]
            finally:
                process.kill()
        assert process.returncode == 0, f"{script}\n{printed}"
        folder, _, variables = self._state.read_text().partition("\n")
        self.folder = Path(folder)
        self.variables = dict(entry.split("=", 1) for entry in variables.split("\0") if entry)
        return printed

    @contextmanager
    def serving(self, command: str) -> Iterator["Served"]:
        """Type a command that serves Dagster's pages; it gets Ctrl-C at the end of the block, and must end."""
        log = self._state.with_suffix(".log")
        with log.open("wb") as output:
            process = subprocess.Popen(
                # A shell in the background ignores SIGINT, and what it starts would too.
                ["env", "--default-signal=INT,TERM", "bash", "-c", command],
                cwd=self.folder,
                env=self.variables,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        try:
            wait_for(process, lambda: Served(log).answers)
            yield Served(log)
            os.killpg(process.pid, signal.SIGINT)
            communicate(process)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


class Served:
    """A server of Dagster's pages, known by what it prints."""

    def __init__(self, log: Path) -> None:
        self._log = log

    @property
    def printed(self) -> str:
        """What it has printed so far."""
        return self._log.read_text()

    @property
    def url(self) -> str:
        """Of the pages; empty as long as it has not named it."""
        found = _SERVING.search(self.printed)
        return found[1] if found else ""

    @property
    def answers(self) -> bool:
        """True once it answers; it names its url before."""
        try:
            with urllib.request.urlopen(f"{self.url}/server_info", timeout=5):
                return True
        except (ValueError, urllib.error.URLError, TimeoutError, ConnectionError):  # ValueError: no url yet
            return False
