"""CPU time of a process tree, as a sign of its progress."""

import contextlib
import os
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


class CpuTime:
    """Sums the CPU time of a process and all its descendants that were seen, also of those that have ended since.

    Args:
        pid: root of the process tree.
    """

    def __init__(self, pid: int) -> None:
        self._family = {pid}
        self._used: dict[tuple[int, int], int] = {}

    def seconds(self) -> float:
        """CPU seconds of the process tree so far."""
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
        while found:  # a process whose parent has ended stays in the family
            found = {pid for pid, parent in parents.items() if parent in self._family} - self._family
            self._family |= found
        self._used.update({process: ticks for process, ticks in used.items() if process[0] in self._family})
        return sum(self._used.values()) / TICKS
