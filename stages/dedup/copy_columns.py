"""What the search for copies reads of tables. Light to import."""

COPY_COLUMNS = (
    "partition",
    "video_id",
    "clip_id",
    "signals_key",
    "start_frame",
    "end_frame",
    "start_s",
    "end_s",
    "shot_start_pts",
)
"""Of ``filtered_clips``, what tells where a clip's pictures are."""

COPIES_FOLDER = "index/copies"
"""Of the hashes of clips, below the root. Rows of clips that are gone leave it when its files are joined."""
