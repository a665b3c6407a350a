"""Write: from clips that survived everything to files to train on, with an index.

In: kept rows of `unique_clips`, with their captions and scores. Out: rows of `dataset`, the files that they name,
and whether these are still what the rows say. FFmpeg is imported at the first clip.
"""

from stages.write.phase import WritePhase
from stages.write.written import missing_files, sample, unreadable_clips

__all__ = ["WritePhase", "missing_files", "sample", "unreadable_clips"]
