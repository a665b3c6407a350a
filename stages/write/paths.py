"""Paths of the dataset's files. Each holds a hash of the file's inputs, so that an existing file is up to date.

    {root}/dataset/{partition}/{clip_id}-{hash}.mp4     the clip
    {root}/dataset/{partition}/{clip_id}-{hash}.webp    its preview
    {root}/dataset/{partition}/{clip_id}-{hash}.json    all its columns
    {root}/dataset/index/{partition}.parquet            the rows of all kept clips

A new caption gives a new path of the JSON and the same path of the clip, which is not cut again.
"""

from stages.params import WriteParams
from stages.storage import digest
from stages.tasks import Row

HASH_DIGITS = 8

PATH_COLUMNS = ("path", "preview_path", "metadata_path")


def partition_folder(partition: str) -> str:
    """Folder of a partition's files, relative to the root."""
    return f"dataset/{partition}"


def index_path(partition: str) -> str:
    """Path of a partition's index."""
    return f"dataset/index/{partition}.parquet"


def media_path(item: Row, params: WriteParams) -> str:
    """Path of the clip's file. ``clip_id`` identifies the source, its tag and the span."""
    hashed = (params.mode, params.encoder, params.quality, item["start_is_keyframe"], item["end_is_keyframe"])
    return _hashed_path(item, "mp4", params.code_version, *map(str, hashed))


def preview_path(item: Row, params: WriteParams) -> str:
    """Path of the clip's preview."""
    hashed = (item["frames_key"], params.preview_fps, params.preview_height_px)
    return _hashed_path(item, "webp", params.code_version, *map(str, hashed))


def metadata_path(item: Row, text: str) -> str:
    """Path of the clip's JSON with this text."""
    return _hashed_path(item, "json", text)


def _hashed_path(item: Row, extension: str, *hashed: str) -> str:
    return f"{partition_folder(item['partition'])}/{item['clip_id']}-{digest(*hashed, length=HASH_DIGITS)}.{extension}"
