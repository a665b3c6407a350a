"""The seven assets: what each is made from, and what it is. Without Dagster, which takes most of a second to import."""

from typing import NamedTuple


class AssetNode(NamedTuple):
    """The assets that an asset is made from, and what it is."""

    deps: tuple[str, ...]
    description: str


ASSET_GRAPH: dict[str, AssetNode] = {
    "videos": AssetNode(
        (),
        """Source videos, probed by ranges without loading the file.

        One row a video: size, codec, displayed width and height, rotation, frame rate, length and where that came
        from. What cannot be read (empty, no video stream, header damaged, gone) is a failed row that says what to do.
        """,
    ),
    "clips": AssetNode(
        ("videos",),
        """Clips: spans of a video between shot changes, or of fixed length.

        The one decode of each video. It also fills the frame store and measures motion, which all later phases read.
        A clip is a span in PTS; nothing is cut yet. A video that yields no clip has one row that says why.
        """,
    ),
    "filtered_clips": AssetNode(
        ("clips",),
        """Clips with their scores, each kept or rejected by the first filter that it fails.

        Another threshold takes the decisions again from the stored scores; nothing is decoded for it.
        """,
    ),
    "embeddings": AssetNode(
        ("filtered_clips",),
        "One vector of unit length for each clip that the filters kept, from pictures spread over the whole clip.",
    ),
    "captions": AssetNode(
        ("filtered_clips",),
        "A text for each window of a clip that the filters kept; the column model says what wrote it.",
    ),
    "unique_clips": AssetNode(
        ("embeddings", "filtered_clips"),
        """Clips of all partitions together: kept, or rejected as copy or near-duplicate of a kept one, or over a quota.

        Without partitions: it reads every partition that is embedded so far. Earlier decisions stand unless a rebuild
        is asked for.
        """,
    ),
    "dataset": AssetNode(
        ("unique_clips", "captions", "filtered_clips"),
        """Clips that survived, cut into files, each with a preview, a JSON and a row of the index.

        Copied without encoding where the span allows it.
        """,
    ),
}
"""Dependencies and description by asset, in the order of the phases."""

UNPARTITIONED_ASSETS = frozenset({"unique_clips"})
"""Assets that read all partitions and have no partitions in Dagster."""
