"""The stage that probes sources. It imports no codec; FFmpeg is imported in the worker."""

from collections.abc import Callable
from dataclasses import replace

from stages import media
from stages.errors import Reason, UnreadableSource
from stages.stage import Fields, ProcessingStage, WorkerMetadata
from stages.storage import stat_source
from stages.tasks import Rejected, Row, VideoTask


class ProbeStage(ProcessingStage[VideoTask, VideoTask]):
    """Adds the probed columns to ``video.columns``; rejects a source that changed since it was listed."""

    name = "probe"

    def __init__(self) -> None:
        self._probe: Callable[[str], Row] | None = None

    def inputs(self) -> Fields:
        """Reads uri and etag, as listed."""
        return [], ["columns"]

    def outputs(self) -> Fields:
        """Adds the probed columns."""
        return [], ["facts"]

    def setup(self, worker_metadata: WorkerMetadata) -> None:
        """Import FFmpeg."""
        self._probe = media.probe

    def process(self, task: VideoTask) -> VideoTask | Rejected:
        """The task with the probed columns, or `Rejected` as superseded or as a copy.

        Raises:
            SourceError: the source is gone, is empty, holds no video, or its store does not answer.
        """
        listed = task.data.columns
        if listed["superseded"]:
            return Rejected(
                Reason.SUPERSEDED,
                f"The source was listed again with other content: {task.data.uri}. Use its newer row.",
            )
        if listed["copy_of"]:
            return Rejected(
                Reason.EXACT_COPY,
                f"The source must differ from those registered earlier, and equals {listed['copied_uri']} in every "
                "byte. Remove it, or keep both with read.exact_copies=false.",
            )
        found = stat_source(task.data.uri)
        if found.etag != listed["etag"]:
            return Rejected(
                Reason.SUPERSEDED,
                f"The source's tag must be {listed['etag']}, as when it was listed, got {found.etag}: {task.data.uri}. "
                "List again; it becomes a new video.",
                is_transient=True,
            )
        if not found.size_bytes:
            raise UnreadableSource(
                task.data.uri, f"The source is empty (0 bytes): {task.data.uri}. Copy it again, or remove it."
            )
        if self._probe is None:
            raise RuntimeError("ProbeStage.setup must be called before process.")
        return replace(task, data=replace(task.data, columns={**listed, **self._probe(task.data.uri)}))

    def teardown(self) -> None:
        """Release FFmpeg."""
        self._probe = None
