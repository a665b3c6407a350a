"""The columns of `dataset` that tell of a clip's files, and those that tell of its source. Imports no codec."""

from collections.abc import Mapping

from stages.schemas import ASSETS
from stages.tasks import Row
from stages.write.paths import PATH_COLUMNS

SOURCE_PREFIX = "source_"
_COLUMNS = ASSETS["dataset"].schema.names
SOURCE_FACTS = tuple(name.removeprefix(SOURCE_PREFIX) for name in _COLUMNS if name.startswith(SOURCE_PREFIX))
"""Columns of the earlier tables that tell of the source. `dataset` has them with the prefix; without it of the file."""
MEDIA_COLUMNS = (
    *("bytes", "sha256", "cut", "sound", "clip_codec", "crop"),
    *("width", "height", "sample_aspect_ratio", "rotation", "average_rate", "is_variable_rate", "num_frames"),
    *("duration_s", "codec", "profile", "pixel_format", "bit_depth", "is_hdr", "is_mirrored"),
    *("color_range", "color_space", "color_transfer", "color_primaries"),
    *("audio_codec", "audio_rate_hz", "audio_channels", "audio_duration_s"),
)
"""What is read from a clip's file after it was written."""
KNOWN_MEDIA = "known_media"
"""Key of a task's columns: the media columns of an earlier row with the same file, or None."""
FILE_COLUMNS = (*PATH_COLUMNS, *MEDIA_COLUMNS)
"""All that a row without files lacks."""


def with_source_facts(columns: Mapping[str, object]) -> Row:
    """Columns of a clip, those of its source under the names that `dataset` has for them, and none of a file."""
    sources = {f"{SOURCE_PREFIX}{name}": columns.get(name) for name in SOURCE_FACTS}
    others = {name: value for name, value in columns.items() if name not in FILE_COLUMNS}
    return {**others, **sources}
