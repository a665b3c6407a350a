"""Files in a folder or a bucket: files of the root are written whole or not at all, sources are read by ranges.

In: paths below a root, URIs of sources. Out: bytes, listings, open files. A call is retried after transient errors, by
the current `stages.retry.Backoff`; lasting errors are raised.
"""

from stages.storage.call_times import CallTime, record_call, take_call_times
from stages.storage.exclusive_creation import check_exclusive_creation
from stages.storage.hashing import digest, digests
from stages.storage.lease import Lease, exclusive, process_start, this_machine, wait_until_free
from stages.storage.locations import (
    FileInfo,
    file_numbers,
    is_in_memory,
    is_url,
    local_file_info,
    normalize_location,
    open_filesystem,
    remote_file_info,
)
from stages.storage.parallel import MAX_CONCURRENT, map_concurrently
from stages.storage.retried_calls import STORE_CLIENTS, call_with_retries, is_lasting
from stages.storage.source_files import open_source, stat_source
from stages.storage.store import FileReplaced, Storage

__all__ = [
    "MAX_CONCURRENT",
    "STORE_CLIENTS",
    "CallTime",
    "FileInfo",
    "FileReplaced",
    "Lease",
    "Storage",
    "call_with_retries",
    "check_exclusive_creation",
    "digest",
    "digests",
    "exclusive",
    "file_numbers",
    "is_in_memory",
    "is_lasting",
    "is_url",
    "local_file_info",
    "map_concurrently",
    "normalize_location",
    "open_filesystem",
    "open_source",
    "process_start",
    "record_call",
    "remote_file_info",
    "stat_source",
    "take_call_times",
    "this_machine",
    "wait_until_free",
]
