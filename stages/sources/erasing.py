"""Erasing a source from the files of the register: members files and snapshots, of which only the log itself stays."""

from collections.abc import Mapping
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from stages.sources.members import read_members_file, write_members_file
from stages.sources.register_log import LOG_FOLDER, list_log
from stages.storage import Storage, map_concurrently


def members_files_of(storage: Storage, uri: str) -> dict[str, pa.Table]:
    """The members files that hold a version of a source, by path, with all of their rows.

    Raises:
        ManifestError: a members file is damaged.
    """
    paths = [
        info.path
        for info in storage.list("partitions")
        if info.path.endswith(".parquet") and not info.path.startswith(f"{LOG_FOLDER}/")
    ]
    tables = map_concurrently(partial(read_members_file, storage), paths)
    return {path: table for path, table in zip(paths, tables, strict=True) if uri in set(table["uri"].to_pylist())}


def erase_source(storage: Storage, uri: str, files: Mapping[str, pa.Table]) -> None:
    """Write the members files again without a source that the register has forgotten, and remove all snapshots.

    Args:
        storage: of the root.
        uri: of the source.
        files: as `members_files_of` gives them.
    """
    for path, table in files.items():
        write_members_file(storage, path, table.filter(pc.field("uri") != uri))
    for path in list_log(storage).snapshots:
        storage.delete(path)
