"""What is in a partition, where Dagster has room for it: a line of a log, an observation of `videos`."""

from collections.abc import Iterable, Sequence

import dagster as dg

from curator_dagster.curation import Curation
from curator_dagster.printable_text import printable
from stages.sources import PartitionContents

_MAX_NAME_CHARS = 60

_UNITS = (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("kB", 10**3), ("B", 1))


def contents_line(contents: PartitionContents) -> str:
    """One line: "KEY: 64 videos, 12.3 GB, newest 2026-09-14 10:02 UTC: a.mp4, b.mp4, c.mp4 and 61 more"."""
    newest = f", newest {contents.newest:%Y-%m-%d %H:%M} UTC" if contents.newest else ""
    videos = "1 video" if contents.num_videos == 1 else f"{contents.num_videos} videos"
    names = f": {first_names(contents.uris, contents.num_videos)}" if contents.uris else ""
    return f"{contents.partition}: {videos}, {format_bytes(contents.size_bytes)}{newest}{names}"


def format_bytes(num_bytes: int) -> str:
    """Rounded for reading: "12.3 GB", "860 MB", "1.2 kB"."""
    unit, unit_bytes = next(((unit, size) for unit, size in _UNITS if num_bytes >= size), _UNITS[-1])
    amount = num_bytes / unit_bytes
    return f"{amount:.0f} {unit}" if amount >= 100 or unit == "B" else f"{amount:.1f} {unit}"


def first_names(uris: Sequence[str], num_videos: int) -> str:
    """The file names of the first videos, and how many more there are."""
    shown = ", ".join(printable(file_name(uri), _MAX_NAME_CHARS) for uri in uris)
    more = num_videos - len(uris)
    return f"{shown} and {more} more" if more else shown


def file_name(uri: str) -> str:
    """The last part of a path or URL."""
    return uri.rsplit("/", 1)[-1]


def observations(curation: Curation, described: Iterable[PartitionContents]) -> list[dg.AssetObservation]:
    """An observation of `videos` for each partition: the asset's page lists it before anything is made."""
    return [
        dg.AssetObservation(
            curation.asset_key("videos"),
            partition=contents.partition,
            description=contents_line(contents),
            metadata=_metadata(contents),
        )
        for contents in described
    ]


def _metadata(contents: PartitionContents) -> dict[str, dg.MetadataValue]:
    metadata: dict[str, dg.MetadataValue] = {
        "videos": dg.MetadataValue.int(contents.num_videos),
        "size": dg.MetadataValue.text(format_bytes(contents.size_bytes)),
        "first_videos": dg.MetadataValue.text(first_names(contents.uris, contents.num_videos)),
    }
    if contents.newest:
        metadata["newest"] = dg.MetadataValue.timestamp(contents.newest)
    return metadata
