"""The tables between phases: row files, and commits that name the row files of a version.

In: all rows of an item with its keys, from the phase that computed or redecided them. Out: the rows of the newest or of
a given commit; which items have rows already; the lineage of a clip.
"""

from stages.manifest.collected_rows import COLLECTED_FOLDER, COMMIT_COLUMN, read_kept_rows, uncurrent_files
from stages.manifest.commits import (
    Commit,
    commit_table,
    last_commit,
    lineage_of,
    load_commit,
    read_commit,
    read_manifest,
    read_unordered,
    reusable_items,
)
from stages.manifest.committed_names import committed_partitions
from stages.manifest.compaction import Compaction, compact, is_merged, merged_from, plan_compactions
from stages.manifest.item_rows import ItemRows, iter_rows, table_of_items
from stages.manifest.root_versions import (
    RootVersion,
    find_version,
    load_version,
    newest_tables,
    newest_version,
    publish_version,
    read_tags,
    tag_version,
    version_numbers,
)
from stages.manifest.row_files import (
    ALL,
    DAMAGED_FILE_ERRORS,
    CommittedFile,
    ManifestRef,
    read_columns,
    read_items,
    read_row_file,
)
from stages.manifest.row_removal import (
    SourceNames,
    SourceRows,
    find_source_rows,
    replace_in_commits,
    write_without_source,
)
from stages.manifest.row_writer import RowWriter
from stages.manifest.stored_items import StoredItems
from stages.manifest.tables import further_tables, is_table, layout_of, tables_of

__all__ = [
    "ALL",
    "COLLECTED_FOLDER",
    "COMMIT_COLUMN",
    "DAMAGED_FILE_ERRORS",
    "Commit",
    "CommittedFile",
    "Compaction",
    "ItemRows",
    "ManifestRef",
    "RootVersion",
    "RowWriter",
    "SourceNames",
    "SourceRows",
    "StoredItems",
    "commit_table",
    "committed_partitions",
    "compact",
    "find_source_rows",
    "find_version",
    "further_tables",
    "is_merged",
    "is_table",
    "iter_rows",
    "last_commit",
    "layout_of",
    "lineage_of",
    "load_commit",
    "load_version",
    "merged_from",
    "newest_tables",
    "newest_version",
    "plan_compactions",
    "publish_version",
    "read_columns",
    "read_commit",
    "read_items",
    "read_kept_rows",
    "read_manifest",
    "read_row_file",
    "read_tags",
    "read_unordered",
    "replace_in_commits",
    "reusable_items",
    "table_of_items",
    "tables_of",
    "tag_version",
    "uncurrent_files",
    "version_numbers",
    "write_without_source",
]
