"""Files in a folder or a bucket: those of the root are written whole or not at all, sources are read by ranges.

In: paths below a root, URIs of sources. Out: bytes, listings, open files. A call that fails for a passing reason is
made again as `stages.retry` says; what lasts is raised.
"""

from stages.storage.calls import STORE_CLIENTS, is_lasting, try_again
from stages.storage.locations import FileInfo, file_info, is_in_process, is_url, local_info, normalize, open_filesystem
from stages.storage.parallel import READERS, read_at_once
from stages.storage.source_files import open_source, stat_source
from stages.storage.store import FileReplaced, Storage, digest, numbers_of

__all__ = [
    "READERS",
    "STORE_CLIENTS",
    "FileInfo",
    "FileReplaced",
    "Storage",
    "digest",
    "file_info",
    "is_in_process",
    "is_lasting",
    "is_url",
    "local_info",
    "normalize",
    "numbers_of",
    "open_filesystem",
    "open_source",
    "read_at_once",
    "stat_source",
    "try_again",
]
