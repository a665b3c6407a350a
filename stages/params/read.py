"""Parameters of read."""

from typing import ClassVar, Literal

from stages.params.base import Params, parameter

_ENDINGS = "mp4 m4v mov avi mkv webm mpg mpeg ogv ts mts m2ts wmv flv 3gp vob mxf"
VIDEO_PATTERNS = [f"*.{ending}" for ending in _ENDINGS.split()]


class ReadParams(Params):
    """Listing and probing source videos."""

    phase: ClassVar[str] = "read"
    asset: ClassVar[str] = "videos"
    code_version: ClassVar[str] = "5"

    include: list[str] = parameter(
        VIDEO_PATTERNS,
        "none",
        "Globs that a source's name or path below the folder must match, without regard to case.",
    )
    exclude: list[str] = parameter([], "none", "Globs of sources to leave out, by name or path below the folder.")
    exact_copies: bool = parameter(
        True,
        "work",
        "Reject a source that equals one registered earlier in every byte. Only sources of equal size are read for it; "
        "without it a copy is decoded, captioned and told from the first one clip by clip.",
    )
    limit: int = parameter(0, "none", "List at most so many sources; 0 for all.", ge=0)
    partition_by: Literal["count", "bytes", "prefix"] = parameter(
        "count",
        "none",
        "What new sources form a partition together: so many that follow one another (count), as many as partition_gb "
        "holds (bytes), or those of one folder (prefix).",
    )
    partition_size: int = parameter(
        64, "none", "New sources of one partition, at most; whatever partition_by.", ge=1, le=100_000
    )
    partition_gb: float = parameter(
        20.0, "none", "bytes: size of a partition's videos, at most, in 10^9 bytes; a larger video stands alone.", gt=0
    )
    prefix_depth: int = parameter(
        1, "none", "prefix: so many folders below the listed one, from the top, tell partitions apart.", ge=1, le=100
    )
