"""NeMo Curator's own stages over a folder of videos: read, fixed stride, encode as VP9, score motion, write.

    PEER_PYTHON benchmarks/peer_pipeline.py VIDEOS OUTPUT

Runs in the peer's environment, and imports nothing of this project. Its motion filter only scores, since FFmpeg exports
no vectors for VP9, so that it would drop every clip. Stages ask for one CPU, so that they fit a small machine.
"""

import sys

from nemo_curator.backends.xenna import XennaExecutor  # pyrefly: ignore[missing-import]
from nemo_curator.pipeline import Pipeline  # pyrefly: ignore[missing-import]
from nemo_curator.stages.video.clipping.clip_extraction_stages import (  # pyrefly: ignore[missing-import]
    ClipTranscodingStage,
    FixedStrideExtractorStage,
)
from nemo_curator.stages.video.filtering.motion_filter import (  # pyrefly: ignore[missing-import]
    MotionFilterStage,
    MotionVectorDecodeStage,
)
from nemo_curator.stages.video.io.clip_writer import ClipWriterStage  # pyrefly: ignore[missing-import]
from nemo_curator.stages.video.io.video_reader import VideoReader  # pyrefly: ignore[missing-import]


def main(videos: str, output: str) -> None:
    pipeline = Pipeline(
        name="split",
        stages=[
            VideoReader(input_video_path=videos),
            FixedStrideExtractorStage(clip_len_s=10.0, clip_stride_s=10.0, min_clip_length_s=2.0, limit_clips=0),
            ClipTranscodingStage(num_cpus_per_worker=1.0, encoder="libvpx-vp9"),
            MotionVectorDecodeStage(num_cpus_per_worker=1.0),
            MotionFilterStage(score_only=True),
            ClipWriterStage(
                output_path=output,
                input_path=videos,
                upload_clips=True,
                dry_run=False,
                generate_embeddings=False,
                generate_previews=False,
                generate_captions=False,
                caption_models=[],
            ),
        ],
    )
    pipeline.run(XennaExecutor({"execution_mode": "batch"}))


if __name__ == "__main__":
    main(*sys.argv[1:])
