"""The measures of the one decode: frames in, values a frame or sample out; of values and a clip's frames, its columns.

All values of a video stand in one file, `signals_path`, so that cutting it anew and judging its clips anew decode
nothing. `stored_signals` is light to import. Names that need av or cv2 are imported on first access, in a worker.
"""

from typing import TYPE_CHECKING

from stages import lazy
from stages.signals.clip_values import motion_values, sharpness_values, speech_share
from stages.signals.samples import Samples
from stages.signals.stored_signals import (
    SIGNALS_FOLDER,
    RecordedPictures,
    Signals,
    read_pictures,
    read_signals,
    signals_path,
    write_signals,
)

__all__ = [
    "SIGNALS_FOLDER",
    "STILL_PX",
    "DamageRecorder",
    "FramePictures",
    "FrameScaler",
    "HashPictureRecorder",
    "PictureFormatRecorder",
    "RecordedPictures",
    "Recorder",
    "Samples",
    "Signals",
    "SpeechRecorder",
    "acquit",
    "bounding_frames",
    "create_recorders",
    "format_changes",
    "hash_bits",
    "hashes_of",
    "motion_values",
    "read_pictures",
    "read_signals",
    "recorder_versions",
    "reduce_samples",
    "samples_of_section",
    "section_recorders",
    "sharpness_values",
    "signals_path",
    "speech_samples",
    "speech_share",
    "write_signals",
]

if TYPE_CHECKING:
    from stages.signals.damage import DamageRecorder, bounding_frames
    from stages.signals.frame_pictures import FramePictures, FrameScaler
    from stages.signals.hash_pictures import HashPictureRecorder, hashes_of
    from stages.signals.pdq import hash_bits
    from stages.signals.picture_format import PictureFormatRecorder, format_changes
    from stages.signals.recorder import Recorder
    from stages.signals.recorders import (
        create_recorders,
        recorder_versions,
        reduce_samples,
        samples_of_section,
        section_recorders,
    )
    from stages.signals.second_look import acquit
    from stages.signals.speech import SpeechRecorder, speech_samples
    from stages.signals.stills import STILL_PX
else:
    __getattr__ = lazy.module_getattr(
        __name__,
        damage=("DamageRecorder", "bounding_frames"),
        frame_pictures=("FramePictures", "FrameScaler"),
        hash_pictures=("HashPictureRecorder", "hashes_of"),
        pdq=("hash_bits",),
        picture_format=("PictureFormatRecorder", "format_changes"),
        recorder=("Recorder",),
        recorders=(
            "create_recorders",
            "recorder_versions",
            "reduce_samples",
            "samples_of_section",
            "section_recorders",
        ),
        second_look=("acquit",),
        speech=("SpeechRecorder", "speech_samples"),
        stills=("STILL_PX",),
    )
