"""Prints how many processes shall run the suite: more where other work keeps the cores busy.

The suite needs its two cores most of the time, which three processes see to. Beside other work, more processes get the
larger share of the cores.
"""

import os
import sys
import time

FREE_COLUMNS = (1, 3, 4)
"""Columns of time of processes that give way (nice), of idle time and of waiting for a disk in the first line of
/proc/stat, after its name."""


def busy_share(seconds: float) -> float:
    """Share of the machine's cores that something keeps busy without giving way, from 0 to 1."""
    before = _cpu_times()
    time.sleep(seconds)
    spent = [after - earlier for after, earlier in zip(_cpu_times(), before, strict=True)]
    return 1 - sum(spent[column] for column in FREE_COLUMNS) / max(1, sum(spent))


def _cpu_times() -> list[int]:
    with open("/proc/stat") as file:
        return [int(value) for value in file.readline().split()[1:]]


if __name__ == "__main__":
    sys.stdout.write("6\n" if os.path.exists("/proc/stat") and busy_share(1) > 0.5 else "3\n")
