"""Whether the files of the dataset are what their rows say. Light to import: FFmpeg is loaded at the first call."""

from collections.abc import Iterator, Sequence

from stages import lazy
from stages.errors import SourceError, StorageUnavailable
from stages.storage import Storage, digest
from stages.tasks import Row

_NAMED = ("path", "preview_path", "metadata_path")
"""Columns that name a file."""


def missing_files(storage: Storage, partition: str, clips: Sequence[Row]) -> Iterator[str]:
    """What is wrong with the files that kept rows of `dataset` name, from one listing of the partition's folder."""
    sizes = {info.path: info.size_bytes for info in storage.list(f"dataset/{partition}")}
    for clip in clips:
        for column in _NAMED:
            path = clip[column]
            if path is not None and path not in sizes:
                yield f"{path} must be there ({column}), and is missing."
        size_bytes = sizes.get(clip["path"], clip["bytes"])
        if size_bytes != clip["bytes"]:
            yield f"{clip['path']} must have {clip['bytes']} bytes, got {size_bytes}."


def sample(clips: Sequence[Row], wanted: int) -> list[Row]:
    """So many of the clips, equal in every run and independent of where a clip comes from."""
    return sorted(clips, key=lambda clip: digest(clip["clip_id"]))[:wanted]


def unreadable_clips(storage: Storage, clips: Sequence[Row]) -> Iterator[str]:
    """What is wrong with the clips' files, each of which is opened and read to its end.

    Raises:
        StorageUnavailable: the store does not answer.
    """
    count_frames = lazy.load("stages.write.verify:count_frames")
    for clip in clips:
        try:
            num_frames = count_frames(storage.location(clip["path"]))
        except StorageUnavailable:
            raise
        except SourceError as error:
            yield f"{clip['path']} must be a whole video, got {error.reason}."
            continue
        if num_frames != clip["num_frames"]:
            yield f"{clip['path']} must have {clip['num_frames']} frames, got {num_frames}."
