"""Paths of the dataset's files. Each holds a hash of the file's inputs, so that an existing file is up to date.

    {root}/dataset/{partition}/{clip_id}-{hash}.mp4     the clip
    {root}/dataset/{partition}/{clip_id}-{hash}.webp    its preview
    {root}/dataset/{partition}/{clip_id}-{hash}.json    all its columns
    {root}/dataset/index/{partition}.parquet            the rows of all kept clips
    {root}/former/{partition}/...                       the same files, while the newest version does not name them

Rows name them relative to ``dataset/``, so that the folder can be moved. A new caption gives a new path of the JSON and
the same path of the clip, which is not cut again.
"""

import re

from stages.params import WriteParams
from stages.storage import digest
from stages.tasks import Row

HASH_DIGITS = 8

PATH_COLUMNS = ("path", "preview_path", "metadata_path")

DATASET_FOLDER = "dataset"
FORMER_FOLDER = "former"
"""Holds what was written and is not published yet, and what is of older versions only."""


_CLIP_FILE = re.compile(r"[^/]+/[0-9a-f]+-[0-9a-f]{8}\.(mp4|webp|json)")


def dataset_location(path: str) -> str:
    """Where a file of the newest version lies, below the root; `path` as a row names it."""
    return f"{DATASET_FOLDER}/{path}"


def former_location(path: str) -> str:
    """Where a file lies that the newest version does not name, below the root."""
    return f"{FORMER_FOLDER}/{path}"


def relative_path(path: str, partition: str) -> str:
    """A path relative to ``dataset/``, also of a row from before paths were: such a one began with ``dataset/``."""
    old_start = f"{DATASET_FOLDER}/{partition}/"
    is_old = path.startswith(old_start) and not path.startswith(f"{partition}/{old_start}") and path.count("/") == 2
    return path.removeprefix(f"{DATASET_FOLDER}/") if is_old else path


def is_clip_file(path: str) -> bool:
    """True for a path as this module makes them; other files in the folder are a person's own."""
    return _CLIP_FILE.fullmatch(path) is not None


def index_path(partition: str) -> str:
    """Where a partition's index lies, below the root."""
    return f"{DATASET_FOLDER}/index/{partition}.parquet"


def media_path(item: Row, params: WriteParams) -> str:
    """Path of the clip's file. ``clip_id`` identifies the source, its tag and the span."""
    kind = (params.mode, params.encoder, params.quality, params.preset, params.playable, params.uniform, params.hdr)
    size_and_rate = (params.width_px, params.height_px, params.fps, params.crop)
    # Bars are found in the stored pictures.
    cropped_by = (item["frames_key"],) if params.crop == "bars" else ()
    if params.crop == "clean":
        cropped_by = (item["clean_area"], params.crop_min)
    at_keyframes = (item["start_is_keyframe"], item["end_is_keyframe"])
    pictures = (params.deinterlace, item["interlaced_share"], item["field_order"], item["hdr_peak_nits"])
    hashed = (*kind, *size_and_rate, *cropped_by, *at_keyframes, *pictures)
    return _hashed_path(item, "mp4", params.code_version, *map(str, hashed))


def preview_path(item: Row, params: WriteParams) -> str:
    """Path of the clip's preview."""
    hashed = (item["frames_key"], params.preview_fps, params.preview_height_px)
    return _hashed_path(item, "webp", params.code_version, *map(str, hashed))


def metadata_path(item: Row, text: str) -> str:
    """Path of the clip's JSON with this text."""
    return _hashed_path(item, "json", text)


def _hashed_path(item: Row, extension: str, *hashed: str) -> str:
    return f"{item['partition']}/{item['clip_id']}-{digest(*hashed, length=HASH_DIGITS)}.{extension}"
