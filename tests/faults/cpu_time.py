"""CPU time of a process and of all that it started, as a sign that it is at work."""

import contextlib
import os
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


class CpuTime:
    """Counts from when each process was first seen; what has ended since keeps its time.

    Args:
        pid: of the process.
    """

    def __init__(self, pid: int) -> None:
        self._family = {pid}
        self._used: dict[tuple[int, int], int] = {}

    def seconds(self) -> float:
        """CPU seconds so far."""
        parents: dict[int, int] = {}
        used: dict[tuple[int, int], int] = {}
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit():
                with contextlib.suppress(OSError):
                    # The name, in parentheses, may hold anything; the fields after it are: state, parent, ...
                    fields = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
                    pid, started = int(folder.name), int(fields[19])
                    parents[pid], used[pid, started] = int(fields[1]), int(fields[11]) + int(fields[12])
        found = self._family
        while found:  # who has lost its parent stays in the family
            found = {pid for pid, parent in parents.items() if parent in self._family} - self._family
            self._family |= found
        self._used.update({process: ticks for process, ticks in used.items() if process[0] in self._family})
        return sum(self._used.values()) / TICKS
