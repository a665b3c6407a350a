"""The write phase: writes kept clips as files, with a preview and JSON for each, and an index per partition.

In: kept rows of `unique_clips`, with their captions and scores. Out: rows of `dataset` and the files that they name,
published as a version of the root, and the verification of these files. FFmpeg is imported at the first clip.
"""

from stages.write.index import write_index
from stages.write.paths import DATASET_FOLDER, FORMER_FOLDER, PATH_COLUMNS, former_location, index_path, relative_path
from stages.write.phase import WritePhase
from stages.write.publishing import LEASE_FOLDER, named_files, read_dataset_file
from stages.write.verification import missing_files, sample_clips, unreadable_clips

__all__ = [
    "DATASET_FOLDER",
    "FORMER_FOLDER",
    "LEASE_FOLDER",
    "PATH_COLUMNS",
    "WritePhase",
    "former_location",
    "index_path",
    "missing_files",
    "named_files",
    "read_dataset_file",
    "relative_path",
    "sample_clips",
    "unreadable_clips",
    "write_index",
]
