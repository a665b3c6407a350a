"""Keys of fixed rows, as the roots of users hold them: a change of code that is no change of rows keeps them.

A key that changes here makes every user's rows be computed again. Where that is meant, raise the phase's
`code_version` and put the new keys in.
"""

from typing import Any

import pytest

from stages.media import frames_key
from stages.models import ModelIdentity
from stages.params import PHASES, EmbedParams
from stages.run.phases import PHASE_CLASSES

SPAN = {
    "num_restarts": 0,
    "partition": "0001",
    "video_id": "5f2a",
    "uri": "/videos/a b.mp4",
    "etag": "12-34",
    "clip_id": "5f2a-0-90000",
    "start_pts": 0,
    "end_pts": 90000,
    "time_base": "1/90000",
    "start_frame": 0,
    "end_frame": 25,
    "shot_start_pts": 0,
    "shot_end_pts": 180000,
    "frames_key": "c0ffee",
    "signals_key": "decade",
    "frames_fps": 2.0,
    "frames_max_px": 448,
    "start_s": 0.0,
    "end_s": 1.0,
    "size_bytes": 12,
    "width": 640,
    "height": 360,
    "rotation": 0,
    "codec": "h264",
    "audio_codec": None,
    "method": "shots",
    "starts_at_cut": True,
    "ends_at_cut": False,
    "start_probability": 0.75,
    "end_probability": None,
    "start_transition": "dissolve",
    "start_transition_pts": -9000,
    "start_transition_s": 0.1,
    "end_transition": None,
    "end_transition_pts": None,
    "end_transition_s": None,
    "start_is_keyframe": True,
    "end_is_keyframe": False,
    "flow_mean": 0.125,
    "flow_p95": 0.5,
    "vectors_mean": 0.25,
    "vectors_patch_min": 0.0625,
    "is_mirrored": False,
    "is_hdr": False,
    "bit_depth": 8,
    "average_rate": "25/1",
    "interlaced_share": 0.0,
    "field_order": None,
    "hdr_peak_nits": None,
    "camera_motion": "pan",
    "camera_speed": 0.125,
    "camera_direction": "left",
    "subject_motion": 0.0625,
    "motion_class": "medium",
    "sharpness": 96.5,
    "detail": 180.25,
    "median_frequency": 0.25,
    "picture_share": 1.0,
    "noise": 0.5,
    "video_frames": 250,
    "damaged_frames": 0,
    "missing_frames": 0,
    "damaged_share": 0.0,
    "sound_damaged_share": None,
    "speech_share": None,
}
ROWS: dict[str, dict[str, Any]] = {
    "read": {"uri": "/videos/a b.mp4", "etag": "12-34", "superseded": False, "relistings": 0, "copy_of": None},
    "split": SPAN,
    "filter": SPAN,
    "embed": SPAN,
    "caption": {**SPAN, "read_by_captioner": '{"duration_s": 1.0}'},
    "dedup": {"clips_digest": "feed", "earlier": "0"},
    "write": {
        **SPAN,
        "scores": {"black": 0.5},
        "caption": "A cat.",
        "caption_model": "m",
        "windows": [{"caption": "A cat.", "model": "m"}],
        "text": "Coming soon",
        "clean_area": [0.0, 0.0, 1.0, 0.75],
    },
}
OTHER: dict[str, dict[str, Any]] = {
    "read": {"partition_size": 5},
    "split": {"method": "fixed_stride", "stride_s": 4.0},
    "filter": {"filters": ["size", "duration"], "width_min_px": 80},
    "embed": {"frames_per_clip": 3},
    "caption": {"prompt": "Say what happens."},
    "dedup": {"eps": 0.2},
    "write": {"encoder": "vp9", "quality": 30, "require_caption": True},
}


def keys(phase: str, values: dict[str, Any]) -> tuple[str, str]:
    """Row key of the fixed row, and decision key."""
    built = PHASE_CLASSES[phase](PHASES[phase].model_validate(values), "/nowhere")
    return built.row_key(ROWS[phase]), built.decision_key()


EXPECTED: dict[str, tuple[tuple[str, str], tuple[str, str]]] = {
    "read": (("34008a22973226cd5665", "68447cfbc255ca1c9573"), ("34008a22973226cd5665", "68447cfbc255ca1c9573")),
    "split": (("915bcd0d81d8f4e2a326", "d8e6c52d993f64017cbc"), ("d5a0bc6d1e09d5d73480", "d8e6c52d993f64017cbc")),
    "filter": (("22c4134a7ca56d2de6eb", "e6073dd8d4177e3327a8"), ("0449ede104f9d98de837", "5686603a5cc09d026331")),
    "embed": (("66ae868a2b7c49933706", "f812d6a9a232f0633d4b"), ("a28c6250d2d3e22bb031", "f812d6a9a232f0633d4b")),
    "caption": (("6c78c6c16e28bad8e345", "3b0baefa9cdd10e4aa9c"), ("5d42d1f60762c22cf510", "3b0baefa9cdd10e4aa9c")),
    "dedup": (("25e1e74c9227d747b636-0", "82ca434de3cabd27d854"), ("0cf867ed8d49fc819a69-0", "82ca434de3cabd27d854")),
    "write": (("a11398728048df3297ba", "e9d3dcced2fc21e36a7d"), ("81ad3792e0203de347e0", "009ed59637ea54f0200e")),
}
"""Row key and decision key, with the defaults and with `OTHER`.

The decision keys of write have changed since roots have versions: rows from before name files relative to the root.
"""


@pytest.mark.parametrize("phase", list(PHASES))
def test_keys_of_a_fixed_row_stay(phase: str) -> None:
    assert (keys(phase, {}), keys(phase, OTHER[phase])) == EXPECTED[phase]


@pytest.mark.parametrize("phase", list(PHASES))
def test_the_fixed_row_holds_every_column_of_its_key(phase: str) -> None:
    built = PHASE_CLASSES[phase](PHASES[phase](), "/nowhere")
    assert set(built.key_columns) <= set(ROWS[phase])


def test_key_of_captions_with_windows_in_frames_stays() -> None:
    """As it was when windows were counted in frames alone, so that no server is asked again."""
    values = {"captioner": "openai", "model": "m", "prompt": "Say what happens.", "compat": "nemo"}
    assert keys("caption", values)[0] == "53cf20c559ed4e56d22f"
    assert keys("caption", {**values, "window_s": 3.0})[0] == "53cf20c559ed4e56d22f"


def test_name_of_a_frame_store_stays() -> None:
    assert frames_key("5f2a", 2.0, 448) == "9819254408528d4af2c9"


@pytest.mark.parametrize(
    ("phase", "values"),
    [
        ("embed", {"dtype": "float16"}),
        ("embed", {"embedder": f"{__name__}:OwnEmbedder", "args": {"layer": 3}}),
        ("caption", {"dtype": "bfloat16"}),
    ],
)
def test_a_parameter_that_came_later_enters_the_key_where_it_is_set(phase: str, values: dict[str, Any]) -> None:
    default = {name: value for name, value in values.items() if name == "embedder"}
    assert keys(phase, values)[0] != keys(phase, default)[0]
    assert keys(phase, {**default, "gpu_memory_gb": 2.0}) == keys(phase, default)


class OwnEmbedder:
    version = "1"

    def __init__(self, params: EmbedParams) -> None:
        pass

    def identity(self) -> ModelIdentity:
        return ModelIdentity("own", "1")

    def setup(self, worker_metadata: object) -> None:
        """Nothing to load."""

    def embed(self, clips: object) -> None:
        """Nothing to embed."""
