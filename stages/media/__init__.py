"""Video files: their facts, decoding, the frame store, motion, cutting, encoding, previews.

In: the URI of a source, or a clip's row. Out: facts, frames at PTS, stored pictures, files of clips. A clip's task and
its stored pictures are light to import. What needs av, cv2 or PIL is imported when it is first asked for, in a worker.
"""

from typing import TYPE_CHECKING

from stages import lazy
from stages.media.clip_tasks import PICTURE_COLUMNS, PICTURE_KEYS, PROVIDES, clip_task, spread, with_clip
from stages.media.frame_store import FrameStore, StoreDamaged, StoreReplaced, frames_key, open_store, store_path
from stages.media.load import LoadFramesStage
from stages.media.sampling import NearestSampler

__all__ = [
    "MAX_PTS",
    "PICTURE_COLUMNS",
    "PICTURE_KEYS",
    "PROVIDES",
    "Cut",
    "CutJob",
    "DecodedFrame",
    "Encoding",
    "FlowTrack",
    "FrameLoader",
    "FrameStore",
    "LoadFramesStage",
    "NearestSampler",
    "NotCopyable",
    "StoreDamaged",
    "StoreReplaced",
    "StoreWriter",
    "UprightScaler",
    "VectorTrack",
    "check_encoder",
    "clip_task",
    "cut_clip",
    "decode_frames",
    "displayed_size",
    "encode_preview",
    "frames_key",
    "open_store",
    "open_video",
    "probe",
    "read_cut",
    "sampled",
    "shown_times",
    "spread",
    "store_path",
    "video_stream",
    "with_clip",
]

if TYPE_CHECKING:
    from stages.media.container import open_video, video_stream
    from stages.media.cut import Cut, CutJob, NotCopyable, cut_clip, read_cut
    from stages.media.decode import MAX_PTS, DecodedFrame, UprightScaler, decode_frames, displayed_size
    from stages.media.encode import Encoding, check_encoder
    from stages.media.frame_loader import FrameLoader
    from stages.media.frames import StoreWriter, sampled
    from stages.media.motion import FlowTrack, VectorTrack
    from stages.media.preview import encode_preview, shown_times
    from stages.media.probing import probe
else:
    __getattr__ = lazy.module_getattr(
        __name__,
        container=("open_video", "video_stream"),
        cut=("Cut", "CutJob", "NotCopyable", "cut_clip", "read_cut"),
        decode=("MAX_PTS", "DecodedFrame", "UprightScaler", "decode_frames", "displayed_size"),
        encode=("Encoding", "check_encoder"),
        frame_loader=("FrameLoader",),
        frames=("StoreWriter", "sampled"),
        motion=("FlowTrack", "VectorTrack"),
        preview=("encode_preview", "shown_times"),
        probing=("probe",),
    )
