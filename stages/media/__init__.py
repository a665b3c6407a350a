"""Video files: probing, decoding, the frame store, cutting clips, encoding, previews.

In: the URI of a source, or a clip's row. Out: facts of the source, frames with PTS, frame stores, files of clips.
`clean_area`, `clip_tasks`, `frame_store`, `load_frames` and `sampling` are light to import. Names that need av, cv2 or
PIL are imported on first access, in a worker.
"""

from typing import TYPE_CHECKING

from stages import lazy
from stages.media.active_area import ActiveArea, Luma, black_frames, detect_active_area
from stages.media.clean_area import WHOLE, Box, covered_share, largest_rectangle
from stages.media.clip_tasks import (
    CLIP_TASK_FIELDS,
    FRAME_COLUMNS,
    FRAME_KEY_COLUMNS,
    clip_length,
    clip_task,
    evenly_spaced_indices,
    with_clip,
)
from stages.media.frame_store import FrameStore, StoreDamaged, StoreReplaced, frames_key, open_store, store_path
from stages.media.load_frames import LoadFramesStage
from stages.media.sampling import NearestSampler

__all__ = [
    "CLIP_TASK_FIELDS",
    "FRAME_COLUMNS",
    "FRAME_KEY_COLUMNS",
    "MAX_PTS",
    "SILENT_CODECS",
    "TRIED_CODECS",
    "USUAL_PEAK_NITS",
    "WHOLE",
    "ActiveArea",
    "Box",
    "ClipFile",
    "Colour",
    "CutJob",
    "DecodeLog",
    "DecodedFrame",
    "DecoderChoice",
    "Encoding",
    "Entry",
    "Fields",
    "FieldsMeter",
    "FrameLengths",
    "FrameLoader",
    "FrameStore",
    "HardwareDecoderFailed",
    "Indivisible",
    "KeptPart",
    "LoadFramesStage",
    "Luma",
    "MonoSound",
    "NearestSampler",
    "NotCopyable",
    "PictureEncoder",
    "Section",
    "SoundLog",
    "SoundPiece",
    "StoreDamaged",
    "StoreFiller",
    "StoreReplaced",
    "StoreWriter",
    "StreamDamage",
    "UprightScaler",
    "VideoPackets",
    "best_audio_stream",
    "black_frames",
    "check_encoder",
    "choose_decoder",
    "clip_length",
    "clip_task",
    "covered_share",
    "cut_clip",
    "declared_end",
    "decode_frames",
    "decode_pictures",
    "detect_active_area",
    "displayed_size",
    "divide",
    "encode_preview",
    "end_with_lost",
    "entry_frames",
    "evenly_spaced_indices",
    "find_standing_marks",
    "fit",
    "frame_rate",
    "frames_key",
    "frames_without_losses",
    "largest_rectangle",
    "last_indexed",
    "nearest_positions",
    "open_store",
    "open_video",
    "open_video_file",
    "peak_of",
    "probe",
    "promised_frames",
    "read_clip_facts",
    "read_clip_file",
    "read_packets",
    "read_sound",
    "reduced_frame",
    "scaled_down",
    "sdr_luma",
    "select_preview_pts",
    "software_instead",
    "store_path",
    "stream_damage",
    "to_deinterlace",
    "video_stream",
    "with_clip",
]

if TYPE_CHECKING:
    from stages.media.av1_references import frames_without_losses
    from stages.media.clip_facts import read_clip_facts
    from stages.media.clip_pictures import decode_pictures, nearest_positions, scaled_down
    from stages.media.colour import Colour
    from stages.media.container import open_video, open_video_file, video_stream
    from stages.media.cut import ClipFile, CutJob, NotCopyable, cut_clip, read_clip_file
    from stages.media.damage import SILENT_CODECS, StreamDamage, end_with_lost, stream_damage
    from stages.media.decode import DecodedFrame, Entry, decode_frames
    from stages.media.decode_log import DecodeLog
    from stages.media.decoders import DecoderChoice, HardwareDecoderFailed, choose_decoder, software_instead
    from stages.media.encode import Encoding, check_encoder
    from stages.media.encoder_pictures import KeptPart
    from stages.media.frame_lengths import FrameLengths
    from stages.media.frame_loader import FrameLoader
    from stages.media.frame_reducing import reduced_frame
    from stages.media.frame_times import MAX_PTS, declared_end, promised_frames
    from stages.media.frames import PictureEncoder, StoreWriter
    from stages.media.interlace import Fields, FieldsMeter, to_deinterlace
    from stages.media.mono_sound import MonoSound, SoundPiece
    from stages.media.packet_trials import TRIED_CODECS
    from stages.media.preview import encode_preview, select_preview_pts
    from stages.media.probing import probe
    from stages.media.sections import (
        Indivisible,
        Section,
        VideoPackets,
        divide,
        entry_frames,
        last_indexed,
        read_packets,
        read_sound,
    )
    from stages.media.sound_damage import SoundLog
    from stages.media.standing_marks import find_standing_marks
    from stages.media.store_filler import StoreFiller
    from stages.media.stream_choice import best_audio_stream, frame_rate
    from stages.media.tone_mapping import USUAL_PEAK_NITS, peak_of, sdr_luma
    from stages.media.upright import UprightScaler, displayed_size, fit
else:
    __getattr__ = lazy.module_getattr(
        __name__,
        av1_references=("frames_without_losses",),
        clip_facts=("read_clip_facts",),
        clip_pictures=("decode_pictures", "nearest_positions", "scaled_down"),
        colour=("Colour",),
        container=("open_video", "open_video_file", "video_stream"),
        cut=("ClipFile", "CutJob", "NotCopyable", "cut_clip", "read_clip_file"),
        damage=("SILENT_CODECS", "StreamDamage", "end_with_lost", "stream_damage"),
        decode=("DecodedFrame", "Entry", "decode_frames"),
        decode_log=("DecodeLog",),
        decoders=("DecoderChoice", "HardwareDecoderFailed", "choose_decoder", "software_instead"),
        encode=("Encoding", "check_encoder"),
        encoder_pictures=("KeptPart",),
        frame_lengths=("FrameLengths",),
        frame_loader=("FrameLoader",),
        frame_reducing=("reduced_frame",),
        frame_times=("MAX_PTS", "declared_end", "promised_frames"),
        frames=("PictureEncoder", "StoreWriter"),
        interlace=("Fields", "FieldsMeter", "to_deinterlace"),
        mono_sound=("MonoSound", "SoundPiece"),
        packet_trials=("TRIED_CODECS",),
        preview=("encode_preview", "select_preview_pts"),
        probing=("probe",),
        sections=(
            "Indivisible",
            "Section",
            "VideoPackets",
            "divide",
            "entry_frames",
            "last_indexed",
            "read_packets",
            "read_sound",
        ),
        sound_damage=("SoundLog",),
        standing_marks=("find_standing_marks",),
        store_filler=("StoreFiller",),
        stream_choice=("best_audio_stream", "frame_rate"),
        tone_mapping=("USUAL_PEAK_NITS", "peak_of", "sdr_luma"),
        upright=("UprightScaler", "displayed_size", "fit"),
    )
