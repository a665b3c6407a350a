"""The key under which the signals of a video stand."""

import json

from stages import registry
from stages.media import frames_key
from stages.models import speech_identity
from stages.params import SPEECH, SplitParams
from stages.signals import recorder_versions
from stages.split.splitter import Splitter
from stages.storage import digest


def signals_key(video_id: str, params: SplitParams, splitter: Splitter) -> str:
    """Hash of all that a decode of the video depends on; cutting its clips depends on more."""
    decoding = {
        "frames": frames_key(video_id, params.frames_fps, params.frames_max_px),
        "method": params.method,
        "splitter": splitter.measure_identity(),
        "code": registry.code_identity("splitter", params.method),
        "recorders": recorder_versions(params.signals),
        **(speech_identity() if SPEECH in params.signals else {}),
        **{name: value for name, value in params.affecting("work").items() if name in ("dtype", "args")},
    }
    return digest(json.dumps(decoding, sort_keys=True), length=12)
