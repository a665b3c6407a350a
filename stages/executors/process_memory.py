"""Private memory of a process."""

from pathlib import Path

_FIELDS = ("RssAnon:", "VmSwap:")


def private_bytes(pid: int | str = "self") -> int | None:
    """Bytes that would be free again if the process ended; None where it is gone, or the system has no /proc.

    0 for a process that has ended and was not waited for yet. Anonymous pages count, in memory or swapped out; shared
    libraries and the object store do not, since other workers map them too. /proc/PID/smaps_rollup would give the
    same, but walks all pages: 12 ms a GiB instead of 0.1 ms.
    """
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(_FIELDS))
