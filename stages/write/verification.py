"""Verifies that the files of the dataset match their rows. FFmpeg is imported at the first call that needs it."""

from collections.abc import Iterator, Sequence

from stages import lazy
from stages.errors import SourceError, StorageUnavailable
from stages.storage import Storage, digest
from stages.tasks import Row
from stages.write.paths import PATH_COLUMNS, dataset_location, relative_path


def missing_files(storage: Storage, partition: str, clips: Sequence[Row]) -> Iterator[str]:
    """A message for each file of these rows that is missing or has another size, from one listing of the folder."""
    sizes = {info.path: info.size_bytes for info in storage.list(dataset_location(partition))}
    for clip in clips:
        for column in PATH_COLUMNS:
            path = clip[column] and dataset_location(relative_path(clip[column], partition))
            if path is not None and path not in sizes:
                yield f"{path} must be there ({column}), and is missing."
        path = dataset_location(relative_path(clip["path"], partition))
        size_bytes = sizes.get(path, clip["bytes"])
        if size_bytes != clip["bytes"]:
            yield f"{path} must have {clip['bytes']} bytes, got {size_bytes}."


def sample_clips(clips: Sequence[Row], count: int) -> list[Row]:
    """A pseudo-random sample of the clips, the same in every run and for any order of the clips."""
    return sorted(clips, key=lambda clip: digest(clip["clip_id"]))[:count]


def unreadable_clips(storage: Storage, partition: str, clips: Sequence[Row]) -> Iterator[str]:
    """A message for each clip whose file cannot be read to its end or has another number of frames.

    Raises:
        StorageUnavailable: the store does not answer.
    """
    count_frames = lazy.load("stages.write.frame_count:count_frames")
    for clip in clips:
        path = dataset_location(relative_path(clip["path"], partition))
        try:
            num_frames = count_frames(storage.location(path))
        except StorageUnavailable:
            raise
        except SourceError as error:
            yield f"{path} must be a whole video, got {error.reason}."
            continue
        if num_frames != clip["num_frames"]:
            yield f"{path} must have {clip['num_frames']} frames, got {num_frames}."
