"""One Arrow schema per asset: every column with its type, unit and meaning.

Columns named in the README as public keep their names and types; a new column may be added at the end.
"""

from dataclasses import dataclass

import pyarrow as pa


def _column(name: str, kind: pa.DataType, meaning: str) -> pa.Field:
    return pa.field(name, kind, metadata={"meaning": meaning})


_TEXT = pa.string()
_INT = pa.int64()
_REAL = pa.float64()
_FLAG = pa.bool_()
_TEXT_BY_NAME = pa.map_(_TEXT, _TEXT)
_NUMBER_BY_NAME = pa.map_(_TEXT, _REAL)

_OUTCOME = [
    _column("status", _TEXT, "kept, rejected or failed."),
    _column("reason", _TEXT, "Why not kept: a word from stages.errors.Reason or a filter's name. Null where kept."),
    _column("error", _TEXT, "Error class, message and what to do; the measured and required value of a rejection."),
    _column("row_key", _TEXT, "Hash of all that the work on this row read; equal key, equal row."),
    _column("decision_key", _TEXT, "Hash of the decision parameters that status and reason were taken with."),
]
_SOURCE = [
    _column("partition", _TEXT, "The batch of source videos that the row belongs to."),
    _column("video_id", _TEXT, "Hash of uri and etag."),
    _column("uri", _TEXT, "Absolute path, or URL with its protocol."),
]
_CLIP_ID = _column("clip_id", _TEXT, "Hash of video_id and span; null in the one row of a video without clips.")
_SPAN = [
    _CLIP_ID,
    _column("start_pts", _INT, "First frame's PTS, in units of time_base."),
    _column("end_pts", _INT, "One past the last frame: the next frame's PTS or the end of the stream."),
    _column("time_base", _TEXT, 'Seconds per unit of PTS, exact, as "1/15360".'),
    _column("start_s", _REAL, "start_pts in seconds."),
    _column("end_s", _REAL, "end_pts in seconds."),
    _column("start_frame", _INT, "First frame, in presentation order from 0."),
    _column("end_frame", _INT, "One past the last frame."),
]
_SOURCE_FILE = [
    _column("etag", _TEXT, "Content tag of the source when it was listed: ETag, or size and modification time."),
    _column("size_bytes", _INT, "Size of the source file."),
]
_SOURCE_FACTS = [
    *_SOURCE_FILE,
    _column("width", _INT, "Pixels, as displayed (after rotation and pixel aspect)."),
    _column("height", _INT, "Pixels, as displayed."),
    _column("rotation", _INT, "Degrees counter-clockwise that the container asks the picture to be turned by."),
    _column("codec", _TEXT, "Codec of the video stream."),
    _column("audio_codec", _TEXT, "Codec of the audio stream that is written with the clips; null without one."),
]
_MOTION = [
    _column(
        "flow_mean",
        _REAL,
        "Mean motion of the picture, noise taken off, in diagonals a second; null where not measured.",
    ),
    _column("flow_p95", _REAL, "95th percentile over the sampled pairs of pictures of the same."),
    _column(
        "vectors_mean", _REAL, "Mean length of the codec's motion vectors over height plus width; null without vectors."
    ),
    _column("vectors_patch_min", _REAL, "The same in the stillest patch of 256 pixels."),
]
_RESTARTS = [
    _column(
        "num_restarts",
        _INT,
        "Places in the video where its source begins anew: times that begin again (here they go on), or another header "
        "for the decoder. Where it is not 0, clips are cut by reading the source from its beginning.",
    ),
]
_CAMERA = [
    _column("camera_motion", _TEXT, "static, pan, tilt, zoom, roll, shake or mixed; null where not measured."),
    _column("camera_speed", _REAL, "Mean speed of the camera, in picture diagonals a second."),
    _column(
        "camera_direction",
        _TEXT,
        "left, right, up, down, in, out, cw or ccw, as the camera goes; of mixed several, the strongest first, joined "
        'by "+"; null where it stands, shakes, or goes to and fro.',
    ),
    _column("subject_motion", _REAL, "Mean motion that the camera does not explain, in picture diagonals a second."),
    _column("motion_class", _TEXT, "still, low, medium or high, by flow_mean; null where not measured."),
    _column("sharpness", _REAL, "Widths of a strong edge in the shorter side of the picture; of the sharper frames."),
]
_COPY_FACTS = [
    _column(
        "detail", _REAL, "As sharpness, at the picture's own size: it grows with the resolution where that is true."
    ),
    _column(
        "median_frequency",
        _REAL,
        "Frequency that halves the energy of slopes, in cycles for a pixel, of the finer frames; null of flat ones.",
    ),
    _column("picture_share", _REAL, "Share of the frame inside flat bars; null where not measured."),
    _column("noise", _REAL, "How much the stillest part of small pictures changes, in levels of 255; null likewise."),
]
_SIGNALS_KEY = _column(
    "signals_key", _TEXT, "Hash of the decode that measured the clip; part of its signals' file name."
)
_VIDEO_FRAMES = _column("video_frames", _INT, "Frames that the whole video decoded to, counted exactly.")
_DAMAGE = [
    _column("damaged_frames", _INT, "Frames that are damaged, or predicted from damaged or missing ones."),
    _column("missing_frames", _INT, "Frames that the container promises and that do not decode."),
    _column("damaged_share", _REAL, "Both, as a share of the frames that the clip should have."),
    _column("sound_damaged_share", _REAL, "Share of the sound that is damaged or missing; null without sound."),
]
_SPEECH = _column(
    "speech_share",
    _REAL,
    "Share of the clip's time in which somebody speaks, see split.speech_threshold; null without sound, and where "
    "split.signals has no speech.",
)
_CUT = [
    _column("method", _TEXT, "The splitter that made the clip."),
    _column("starts_at_cut", _FLAG, "The clip begins at a transition, of any kind."),
    _column("ends_at_cut", _FLAG, "The clip ends at a transition, of any kind."),
    _column("start_probability", _REAL, "Transition probability at the shot change before the clip; null without one."),
    _column("end_probability", _REAL, "The same at the shot change after it."),
    _column("shot_start_pts", _INT, "Start of the shot that the clip lies in."),
    _column("shot_end_pts", _INT, "End of that shot."),
    _column("start_is_keyframe", _FLAG, "The first frame can be decoded alone."),
    _column(
        "start_transition",
        _TEXT,
        "Kind of the transition that the clip begins at: cut, dissolve, fade, wipe or other; null where starts_at_cut "
        "is false.",
    ),
    _column("start_transition_pts", _INT, "Its first changed frame; it ends at shot_start_pts."),
    _column("start_transition_s", _REAL, "Its length, 0 for a cut."),
    _column("end_transition", _TEXT, "Kind of the transition that the clip ends at, likewise."),
    _column("end_transition_pts", _INT, "Where it ends, the first frame of the next shot; it begins at shot_end_pts."),
    _column("end_transition_s", _REAL, "Its length, 0 for a cut."),
    _column("end_is_keyframe", _FLAG, "The frame at end_pts is a keyframe, or the stream ends there."),
]
_FRAMES = [
    _column(
        "frames_key",
        _TEXT,
        "Hash of the source and the frame store's parameters; what embeddings and captions hang on.",
    ),
    _column("frames_fps", _REAL, "Pictures a second in the frame store."),
    _column("frames_max_px", _INT, "Longest side of a stored picture."),
]
_MIRRORED = _column(
    "is_mirrored", _FLAG, "The container asks for the picture to be mirrored left to right, before it is turned."
)
_PICTURE = [
    _MIRRORED,
    _column("is_hdr", _FLAG, "Transfer characteristic of the source is PQ or HLG."),
    _column("bit_depth", _INT, "Bits of the source's luma component."),
    _column("average_rate", _TEXT, 'Frames a second of the source, exact, as "30000/1001"; null where unknown.'),
    _column(
        "interlaced_share",
        _REAL,
        "Share of sampled frames whose two fields show two moments, as measured; where too little moves to tell, the "
        "share of frames flagged so. Null where none was sampled.",
    ),
    _column("field_order", _TEXT, "The earlier field of such frames, as measured: top or bottom; null where not."),
    _column(
        "hdr_peak_nits",
        _REAL,
        "Largest luminance in sampled frames of HDR, in nits, 0.1 % of pixels apart; null for SDR.",
    ),
]
_SCORES = _column("scores", _NUMBER_BY_NAME, "Score by filter name.")
_JUDGED = [
    _SCORES,
    _column("thresholds", _NUMBER_BY_NAME, "Threshold by parameter name, as it was in force."),
]

_MEASURED = [
    _column("score_keys", _TEXT_BY_NAME, "By filter, hash of all that its scores depend on."),
    _column(
        "picture_scores",
        pa.map_(pa.string(), pa.list_(pa.float32())),
        "By score, one value a picture of the frame store; filter.reduce makes the score of them.",
    ),
]

_DTYPE = _column(
    "dtype", _TEXT, "Precision that the model computed in: float32, bfloat16 or float16; null where it does not tell."
)
_DECODED = [
    _column(
        "decoder", _TEXT, "What decoded the video: software, or nvdec (the GPU's); null in rows of earlier versions."
    ),
    _column("decoder_note", _TEXT, "Why it was not the decoder that split.decoder asks for; null where it was."),
    _DTYPE,
]
_TEXT_FOUND = [
    _column(
        "text", _TEXT, "Burned-in text of the clip, what is repeated left out; null where filter text did not run."
    ),
    _column(
        "text_boxes",
        pa.list_(
            pa.struct(
                [
                    *((side, pa.float64()) for side in ("left", "top", "right", "bottom")),
                    ("text", pa.string()),
                    ("confidence", pa.float64()),
                    ("pictures", pa.int64()),
                    ("stands", pa.bool_()),
                ]
            )
        ),
        "Boxes of text and of logos, in shares of width and height as displayed: what is read there (null for a logo "
        "without text), how surely, in how many of the pictures that were looked at, and whether it stands in all.",
    ),
    _column(
        "clean_area",
        pa.list_(pa.float64()),
        "Left, top, right and bottom of the largest rectangle without text, logos and bars, in such shares; null "
        "where there is none.",
    ),
]
"""What filter text finds beside its scores."""
_SCORE_DTYPES = [
    _column(
        f"{name}_dtype", _TEXT, f"Precision that the model of filter {name} computed in; null where it did not run."
    )
    for name in ("nsfw", "aesthetic")
]

_CLIP_EMBEDDING = _column(
    "clip_embedding",
    pa.struct(
        [
            ("key", pa.string()),
            ("vector", pa.list_(pa.float32())),
            ("pictures", pa.int64()),
            ("dtype", pa.string()),
        ]
    ),
    "What the encoder of filter aesthetic made of the clip: embed takes the vector where it would make the same, which "
    "the key tells; null where the filter did not run.",
)

_CAPTION_FACTS = [
    _column("caption_index", _INT, "0 for the first caption of the window, the one that the dataset takes."),
    _column("window_start_s", _REAL, "When the window's first frame begins, in seconds from the start of the clip."),
    _column("window_end_s", _REAL, "When its last frame ends."),
    _column("num_shown_frames", _INT, "Pictures of the window that the captioner was shown."),
    _column("frames_from", _TEXT, "Where they came from: store, or source where the clip was decoded for them."),
    _column(
        "finish_reason",
        _TEXT,
        "length for an answer that ended at the largest number of tokens, content_filter for one that a filter of the "
        "server withheld or ended, else stop.",
    ),
    _column("language", _TEXT, "Language of the caption, ISO 639-1; null where the text does not tell."),
    _column("scores", _NUMBER_BY_NAME, "Score by name, see docs/captions.md."),
    _column("problem", _TEXT, "What of the answer contradicts a measurement, or does not fit the schema; else null."),
    _column("fields", _TEXT, "The structured answer as JSON; null for plain words."),
    _column("field", _TEXT, "Which of its fields the caption is; null likewise."),
    _column("refined_from", _TEXT, "Model that wrote the caption which this one was made of; null where none was."),
    _column(
        "answers_key",
        _TEXT,
        "Hash of all that the first model's answers read; where it is equal, another second model or similarity_model "
        "asks the first one nothing.",
    ),
]

_DATASET_FACTS = [
    *_SOURCE_FILE,
    _column("width", _INT, "Of the clip's file: pixels of a decoded picture, before pixel aspect and rotation."),
    _column("height", _INT, "Of the clip's file, likewise."),
    _column("rotation", _INT, "Degrees counter-clockwise by which a player turns the file's picture; 0 where encoded."),
    _column("codec", _TEXT, "Video codec of the clip's file."),
    _column("audio_codec", _TEXT, "Audio codec of the clip's file; null without sound."),
]
"""Of `dataset`, whose columns without a prefix tell of the file that was written."""
_FILE_FACTS = [
    _column("sample_aspect_ratio", _TEXT, 'Width over height of a pixel of the file, as "4:3".'),
    _column("average_rate", _TEXT, 'Frames a second of the file, exact, as "30000/1001".'),
    _column("is_variable_rate", _FLAG, "Its frames are not the same time apart."),
    _column("profile", _TEXT, "Profile of its video codec, as FFmpeg names it."),
    _column("pixel_format", _TEXT, "As the decoder names it."),
    _column("bit_depth", _INT, "Bits of its luma component."),
    _column("is_hdr", _FLAG, "Its transfer characteristic is PQ or HLG."),
    _column("is_mirrored", _FLAG, "A player mirrors its picture left to right, before it turns it."),
    _column("color_range", _TEXT, "tv (limited) or pc (full), as tagged; null where untagged, as the three below."),
    _column("color_space", _TEXT, "Matrix, as ffprobe names it."),
    _column("color_transfer", _TEXT, "Transfer characteristic, as ffprobe names it."),
    _column("color_primaries", _TEXT, "As ffprobe names them."),
    _column("audio_rate_hz", _INT, "Samples a second of its sound; null without."),
    _column("audio_channels", _INT, "Channels of its sound; null without."),
    _column("audio_duration_s", _REAL, "Length of its sound; null without."),
    _column("sha256", _TEXT, "Of the clip's file."),
    _column("source_width", _INT, "Pixels of the source as displayed (after rotation and pixel aspect)."),
    _column("source_height", _INT, "Pixels of the source as displayed."),
    _column("source_rotation", _INT, "Degrees counter-clockwise that the source asks its picture to be turned by."),
    _column("source_codec", _TEXT, "Video codec of the source."),
    _column("source_audio_codec", _TEXT, "Codec of the source's audio; null without."),
    _column("source_is_mirrored", _FLAG, "The source asks for its picture to be mirrored, before it is turned."),
    _column("source_is_hdr", _FLAG, "Transfer characteristic of the source is PQ or HLG."),
    _column("source_bit_depth", _INT, "Bits of the source's luma component."),
    _column("source_average_rate", _TEXT, "Frames a second of the source, exact; null where unknown."),
]

_PARTITION = [
    _column("uri", _TEXT, "Absolute path, or URL with its protocol."),
    _column("video_id", _TEXT, "Hash of uri and etag."),
    _column("etag", _TEXT, "Content tag when it was listed."),
    _column("size_bytes", _INT, "Size when it was listed."),
    _column("modified_s", _REAL, "Seconds since 1970 when it was modified. Null where the store gives no time."),
]


@dataclass(frozen=True)
class AssetSchema:
    """The table of one asset.

    Attributes:
        asset: its name.
        grain: what one row is.
        schema: the columns in order.
        sort_by: the order in which readers return rows.
    """

    asset: str
    grain: str
    schema: pa.Schema
    sort_by: tuple[str, ...]


def _asset(asset: str, grain: str, fields: list[pa.Field], *sort_by: str) -> AssetSchema:
    return AssetSchema(asset, grain, pa.schema(fields), sort_by)


PARTITION_SCHEMA = pa.schema(_PARTITION)
"""Members of one partition: ``{root}/partitions/{partition}.parquet``."""

FRAME_STORE_SCHEMA = pa.schema(
    [
        _column("pts", _INT, "Of the sampled frame, in the stream's time base."),
        _column("frame", _INT, "Its index in presentation order from 0."),
        _column("jpeg", pa.binary(), "The picture, upright, at most frames_max_px on its longest side."),
    ]
)
"""Sampled frames of one video: ``{root}/frames/{partition}/{video_id}.parquet``."""

STATUSES = ("kept", "rejected", "failed")
"""The outcomes of a row."""

MOTION_CLASSES = ("still", "low", "medium", "high")
"""The values of ``motion_class``."""

_BY_SPAN = ("partition", "video_id", "start_pts", "end_pts")

ASSETS: dict[str, AssetSchema] = {
    table.asset: table
    for table in (
        _asset(
            "videos",
            "a source video",
            [
                *_SOURCE,
                *_OUTCOME,
                *_SOURCE_FACTS,
                _column("container", _TEXT, "Format name as FFmpeg gives it."),
                _column("pixel_format", _TEXT, "As the decoder names it."),
                _column("bit_depth", _INT, "Bits of the luma component."),
                _column("is_hdr", _FLAG, "Transfer characteristic is PQ or HLG."),
                _column("time_base", _TEXT, "Of the video stream."),
                _column("average_rate", _TEXT, 'Frames a second, exact, as "30000/1001"; null where unknown.'),
                _column("is_vfr", _FLAG, "Gaps between frames differ; null where no index tells."),
                _column(
                    "duration_s",
                    _REAL,
                    "From stream, container or last packet; of joined recordings their sum; null where none tells.",
                ),
                _column("num_frames", _INT, "From num_frames_source; null where no index holds it."),
                _column("num_frames_source", _TEXT, "Where num_frames came from: header, index."),
                _column("keyframe_interval_s", _REAL, "Mean distance of keyframes; null where no index tells."),
                _column("num_audio_streams", _INT, "Audio streams of the container."),
                _column("display_aspect", _TEXT, 'Pixel aspect ratio, as "4/3".'),
                _column("num_video_streams", _INT, "Video streams of the container, with covers and previews."),
                _MIRRORED,
                _column(
                    "copy_of", _TEXT, "video_id of the earlier source that this one equals in every byte; else null."
                ),
            ],
            "partition",
            "uri",
        ),
        _asset(
            "clips",
            "a clip",
            [
                *_SOURCE,
                *_SPAN,
                *_OUTCOME,
                *_SOURCE_FACTS,
                *_CUT,
                *_FRAMES,
                *_MOTION,
                _VIDEO_FRAMES,
                _SIGNALS_KEY,
                *_RESTARTS,
                *_PICTURE,
                *_CAMERA,
                *_DAMAGE,
                *_COPY_FACTS,
                _SPEECH,
                *_DECODED,
            ],
            *_BY_SPAN,
        ),
        _asset(
            "filtered_clips",
            "a clip",
            [
                *(*_SOURCE, *_SPAN, *_OUTCOME, *_SOURCE_FACTS, *_CUT, *_FRAMES, *_MOTION, *_JUDGED, *_MEASURED),
                *(
                    *_RESTARTS,
                    *_PICTURE,
                    *_CAMERA,
                    *_DAMAGE,
                    *_COPY_FACTS,
                    _SPEECH,
                    _VIDEO_FRAMES,
                    _SIGNALS_KEY,
                    *_TEXT_FOUND,
                    _CLIP_EMBEDDING,
                ),
                *_SCORE_DTYPES,
            ],
            *_BY_SPAN,
        ),
        _asset(
            "embeddings",
            "a clip",
            [
                *_SOURCE,
                _CLIP_ID,
                *_OUTCOME,
                _column("model", _TEXT, "Model and pooling."),
                _column("weights_hash", _TEXT, "SHA-256 of the weights file, first 16 digits."),
                _column("embedding", pa.list_(pa.float32()), "Unit length; every row of one model has the same size."),
                _column("embedding_size", _INT, "Numbers in it; null in rows of older versions."),
                _column("num_embedded_frames", _INT, "Pictures pooled."),
                _DTYPE,
            ],
            "partition",
            "video_id",
            "clip_id",
        ),
        _asset(
            "captions",
            "a caption window",
            [
                *_SOURCE,
                _CLIP_ID,
                *_OUTCOME,
                _column("window_index", _INT, "0 for the first window of the clip; null where the clip has none."),
                _column("window_start_frame", _INT, "First frame, counted from the start of the clip."),
                _column("window_end_frame", _INT, "One past the last frame."),
                _column("caption", _TEXT, "The text."),
                _column("model", _TEXT, "What wrote it."),
                _column("weights_hash", _TEXT, "SHA-256 of its weights, first 16 digits; null for a server."),
                _column("prompt_id", _TEXT, "Hash of the prompt; null where the captioner reads none."),
                _column("tokens", _INT, "Output tokens; null where the captioner does not count them."),
                _column("prompt_tokens", _INT, "Input tokens, those of pictures too; null likewise."),
                _column(
                    "cost",
                    _REAL,
                    "What the tokens cost by the prices of the model that wrote it, caption.price_input and so on.",
                ),
                _DTYPE,
                *_CAPTION_FACTS,
            ],
            "partition",
            "video_id",
            "clip_id",
            "window_index",
            "caption_index",
        ),
        _asset(
            "unique_clips",
            "a clip",
            [
                *_SOURCE,
                _CLIP_ID,
                *_OUTCOME,
                _column(
                    "group_id", _TEXT, "Clip id of the group's kept clip; equal for all near-duplicates of one group."
                ),
                _column("group_size", _INT, "Clips of the group."),
                _column(
                    "nearest_clip_id",
                    _TEXT,
                    "Nearest other kept clip (cluster mode: nearest clip ranked before it); null without one. "
                    "Of a copy, the clip that it is a copy of.",
                ),
                _column("similarity", _REAL, "Cosine similarity to nearest_clip_id; null for a copy."),
                _column("rank", _INT, "Order of preference in its group, 0 is kept."),
                _column("model", _TEXT, "Of the embedding that was compared."),
                _column(
                    "embedding_key",
                    _TEXT,
                    "row_key of the embedding that was compared; a decision falls where it changes.",
                ),
                _column(
                    "quota_classes",
                    _TEXT_BY_NAME,
                    "What the clip counts as, by the column of each quota; null without quotas.",
                ),
                _column("copy_of", _TEXT, "Clip id of the clip that this one is a copy of; null where it is none."),
                _column("copy_rate", _REAL, "Seconds of that clip in which it shows what this one does in a second."),
                _column("copy_offset_s", _REAL, "Time in that clip at the start of this one."),
            ],
            "partition",
            "video_id",
            "clip_id",
        ),
        _asset(
            "dataset",
            "a written clip",
            [
                *_SOURCE,
                *_SPAN,
                *_OUTCOME,
                *_DATASET_FACTS,
                _column("path", _TEXT, "The clip's file, below dataset/ of the root."),
                _column("preview_path", _TEXT, "Its WebP preview, below dataset/; null without one."),
                _column("metadata_path", _TEXT, "Its JSON, below dataset/."),
                _column("bytes", _INT, "Size of the clip's file."),
                _column("clip_codec", _TEXT, "Video codec of the clip's file, as in codec."),
                _column("cut", _TEXT, "copy; smart: frames at the edges encoded, packets between copied; or encode."),
                _column("num_frames", _INT, "Video frames in the clip's file."),
                _column("duration_s", _REAL, "Length of the file's video track."),
                _column("caption", _TEXT, "Captions of all windows, joined by a space; null without one."),
                _column("caption_model", _TEXT, "What wrote it."),
                _SCORES,
                _column("sound", _TEXT, "copy or encode; none where the span has none; lost where it can be neither."),
                *_FILE_FACTS,
                _column(
                    "crop",
                    pa.list_(pa.float64()),
                    "Left, top, right and bottom of the part of the source's picture that the file shows (write.crop), "
                    "in shares of width and height as displayed; null for all of it.",
                ),
            ],
            *_BY_SPAN,
        ),
    )
}
"""Every asset's table, in the order of the phases."""
