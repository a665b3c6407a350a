"""The write phase: writes kept clips as files, with a preview and JSON for each, and an index per partition.

In: kept rows of `unique_clips`, with their captions and scores. Out: rows of `dataset` and the files that they name,
and the verification of these files. FFmpeg is imported at the first clip.
"""

from stages.write.phase import WritePhase
from stages.write.verification import missing_files, sample_clips, unreadable_clips

__all__ = ["WritePhase", "missing_files", "sample_clips", "unreadable_clips"]
