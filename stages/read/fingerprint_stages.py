"""The stages that make fingerprints of sources, and the pipelines around them."""

from dataclasses import replace

from stages.pipeline import Pipeline
from stages.read.fingerprints import Fingerprint, hash_source, sample_source
from stages.sources import RegisteredVideo
from stages.stage import Fields, ProcessingStage
from stages.tasks import Row, Task, Video, VideoTask


class SampleStage(ProcessingStage[VideoTask, VideoTask]):
    """Adds the column sample."""

    name = "sample"

    def outputs(self) -> Fields:
        """Adds the sample."""
        return [], ["sample"]

    def process(self, task: VideoTask) -> VideoTask:
        """The task with the sample of its video.

        Raises:
            SourceError: the source is gone, is no longer the listed one, or its store does not answer.
        """
        return _with_fingerprint(task, sample_source(task.data.uri, task.data.video_id))


class HashStage(ProcessingStage[VideoTask, VideoTask]):
    """Adds the column sha256."""

    name = "hash"

    def inputs(self) -> Fields:
        """Reads the sample, to be stored beside the hash."""
        return [], ["sample"]

    def outputs(self) -> Fields:
        """Adds the hash."""
        return [], ["sha256"]

    def process(self, task: VideoTask) -> VideoTask:
        """The task with the hash of its video.

        Raises:
            SourceError: the source is gone, is no longer the listed one, or its store does not answer.
        """
        known = Fingerprint(task.data.columns["sample"])
        return _with_fingerprint(task, hash_source(task.data.uri, task.data.video_id, known))


def sample_pipeline() -> Pipeline:
    """The pipeline that samples; its one row of a task is the fingerprint of a video."""
    return Pipeline("sample", [SampleStage()], collect=_fingerprint_rows)


def hash_pipeline() -> Pipeline:
    """The pipeline that hashes; its one row of a task is the fingerprint of a video."""
    return Pipeline("hash", [HashStage()], collect=_fingerprint_rows, provides=["data.sample"])


def fingerprint_task(video: RegisteredVideo, sample: str) -> VideoTask:
    """The task of a video for either pipeline."""
    data = Video(video.video_id, video.uri, video.partition, columns={"sample": sample})
    return VideoTask(f"{video.partition}/{video.video_id}", data=data)


def _with_fingerprint(task: VideoTask, found: Fingerprint) -> VideoTask:
    columns = {"video_id": task.data.video_id, "sample": found.sample, "sha256": found.sha256}
    return replace(task, data=replace(task.data, columns=columns))


def _fingerprint_rows(task: Task) -> list[Row]:
    if not isinstance(task, VideoTask):
        raise TypeError(f"A fingerprint is that of a VideoTask, got {type(task).__name__}.")
    return [dict(task.data.columns)]
