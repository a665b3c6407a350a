"""The stage that probes sources. Light to import; FFmpeg is loaded in the worker."""

from collections.abc import Callable
from dataclasses import replace

from stages import media
from stages.errors import Reason, UnreadableSource
from stages.stage import Fields, ProcessingStage, WorkerMetadata
from stages.storage import stat_source
from stages.tasks import Rejected, Row, VideoTask


class ProbeStage(ProcessingStage[VideoTask, VideoTask]):
    """Sets the facts of a source in ``video.columns``, unless it is no longer the one that was listed."""

    name = "probe"

    def __init__(self) -> None:
        self._probe: Callable[[str], Row] | None = None

    def inputs(self) -> Fields:
        """Needs uri and etag as they were listed."""
        return [], ["columns"]

    def outputs(self) -> Fields:
        """Adds the facts."""
        return [], ["facts"]

    def setup(self, worker_metadata: WorkerMetadata) -> None:
        """Load FFmpeg."""
        self._probe = media.probe

    def process(self, task: VideoTask) -> VideoTask | Rejected:
        """The task with the facts, or rejected as superseded.

        Raises:
            SourceError: gone, empty, no video, or the store does not answer.
        """
        listed = task.data.columns
        if listed["superseded"]:
            return Rejected(
                Reason.SUPERSEDED,
                f"The source was listed again with other content: {task.data.uri}. Use its newer row.",
            )
        now = stat_source(task.data.uri)
        if now.etag != listed["etag"]:
            return Rejected(
                Reason.SUPERSEDED,
                f"The source's tag must be {listed['etag']}, as when it was listed, got {now.etag}: {task.data.uri}. "
                "List again; it becomes a new video.",
                is_transient=True,
            )
        if not now.size_bytes:
            raise UnreadableSource(
                task.data.uri, f"The source is empty (0 bytes): {task.data.uri}. Copy it again, or remove it."
            )
        if self._probe is None:
            raise RuntimeError("ProbeStage.setup must be called before process.")
        return replace(task, data=replace(task.data, columns={**listed, **self._probe(task.data.uri)}))

    def teardown(self) -> None:
        """Let go of FFmpeg."""
        self._probe = None
