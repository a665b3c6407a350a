"""Names of the dataset's files. Each holds a hash of what the file is made of, so that a file that is there is right.

    {root}/dataset/{partition}/{clip_id}-{hash}.mp4     the clip
    {root}/dataset/{partition}/{clip_id}-{hash}.webp    its preview
    {root}/dataset/{partition}/{clip_id}-{hash}.json    everything known of it
    {root}/dataset/index/{partition}.parquet            the rows of all kept clips

A new caption names a new JSON and the same clip, which is not cut again.
"""

from stages.params import WriteParams
from stages.storage import digest
from stages.tasks import Row

HASH_DIGITS = 8

PATH_COLUMNS = ("path", "preview_path", "metadata_path")


def folder(partition: str) -> str:
    """Where a partition's files lie, below the root."""
    return f"dataset/{partition}"


def index_path(partition: str) -> str:
    """The Parquet index of a partition."""
    return f"dataset/index/{partition}.parquet"


def media_path(item: Row, params: WriteParams) -> str:
    """The clip's file; ``clip_id`` stands for the source, its tag and the span."""
    made_of = (params.mode, params.encoder, params.quality, item["start_is_keyframe"], item["end_is_keyframe"])
    return _named(item, "mp4", params.code_version, *map(str, made_of))


def preview_path(item: Row, params: WriteParams) -> str:
    """The clip's preview."""
    made_of = (item["frames_key"], params.preview_fps, params.preview_height_px)
    return _named(item, "webp", params.code_version, *map(str, made_of))


def metadata_path(item: Row, text: str) -> str:
    """The clip's JSON with this text."""
    return _named(item, "json", text)


def _named(item: Row, ending: str, *made_of: str) -> str:
    return f"{folder(item['partition'])}/{item['clip_id']}-{digest(*made_of, length=HASH_DIGITS)}.{ending}"
