"""CPU time of a process tree, as a sign of its progress."""

import contextlib
import os
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class CpuTime:
    """Sums the CPU time of a process and all its descendants that were seen, also of those that have ended since.

    Args:
        pid: root of the process tree.
    """

    def __init__(self, pid: int) -> None:
        self._pids = {pid}
        self._ticks: dict[tuple[int, int], int] = {}

    def seconds(self) -> float:
        """CPU seconds of the process tree so far."""
        parents: dict[int, int] = {}
        ticks: dict[tuple[int, int], int] = {}
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit():
                with contextlib.suppress(OSError):
                    # The name, in parentheses, may hold anything; the fields after it are: state, parent, ...
                    fields = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
                    pid, started = int(folder.name), int(fields[19])
                    parents[pid], ticks[pid, started] = int(fields[1]), int(fields[11]) + int(fields[12])
        found = self._pids
        while found:  # a process whose parent has ended stays in the tree
            found = {pid for pid, parent in parents.items() if parent in self._pids} - self._pids
            self._pids |= found
        self._ticks.update({process: count for process, count in ticks.items() if process[0] in self._pids})
        return sum(self._ticks.values()) / TICKS_PER_S
