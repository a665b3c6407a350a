"""Cuts a span out of a source into an MP4.

By stream copy where that gives its exact frames; else by copying the packets between its edges, where they can be
joined with what an encoder makes of these; else by encoding.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress

from stages.errors import StorageUnavailable
from stages.media.clip_file import ClipFile, CutJob, read_clip_file
from stages.media.copied_clip import copy_clip
from stages.media.encoded_clip import encode_clip
from stages.media.joined_clip import join_clip
from stages.media.stream_copy import NotCopyable

__all__ = ["ClipFile", "CutJob", "NotCopyable", "cut_clip", "read_clip_file"]

_WAYS: Mapping[str, tuple[Callable[[CutJob, str], ClipFile], ...]] = {
    "auto": (copy_clip, join_clip, encode_clip),
    "copy": (copy_clip,),
    "smart": (copy_clip, join_clip, encode_clip),
    "encode": (encode_clip,),
}
"""How a clip is cut by each mode: the first way that gives exactly its frames, else the last."""


def cut_clip(job: CutJob, target: str) -> ClipFile:
    """Write the span with its audio as an MP4 whose first frame has PTS 0.

    Raises:
        NotCopyable: `mode` is copy, and the packets of the span cannot be copied.
        StorageUnavailable: the disk is full, or another system call failed in reading or writing.
        SourceError: the source cannot be opened, or breaks inside the span.
        StageError: the span cannot be encoded.
    """
    try:
        for cut in _WAYS[job.mode][:-1]:
            with suppress(NotCopyable):
                return cut(job, target)
        return _WAYS[job.mode][-1](job, target)
    except OSError as error:
        raise StorageUnavailable(
            job.uri,
            f"The clip must be read and written, got {error.strerror or error}. Check the disk that holds temporary "
            "files (TMPDIR) and the source's; the next run tries again.",
        ) from error
