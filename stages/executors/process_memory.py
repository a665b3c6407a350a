"""Private memory of a process."""

from pathlib import Path

_FIELDS = ("RssAnon:", "VmSwap:")


def private_bytes(pid: int | str = "self") -> int | None:
    """Bytes that the end of the process would free; None if the process is gone or the system has no /proc.

    The value is 0 for a zombie. Anonymous pages count, in memory or swapped out. Shared libraries and the object store
    do not count, since other workers map them too. /proc/PID/smaps_rollup would give the same value, but walks all
    pages: 12 ms per GiB instead of 0.1 ms.
    """
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(_FIELDS))
