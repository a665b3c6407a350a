"""A user's own captioners, named by dotted path."""

from collections.abc import Sequence

from stages.errors import Reason
from stages.models import Caption, CaptionInput, ModelIdentity
from stages.params import CaptionParams
from stages.stage import WorkerMetadata
from stages.tasks import Failed


class PartlyFailingCaptioner:
    """Describes its input; fails the second window, and gives an empty caption for the third."""

    columns: tuple[str, ...] = ("width",)
    reads_prompt = True

    def __init__(self, params: CaptionParams) -> None:
        self.params = params

    def identity(self) -> ModelIdentity:
        return ModelIdentity("fickle", "")

    def setup(self, worker_metadata: WorkerMetadata) -> None:
        pass

    def caption(self, windows: Sequence[CaptionInput]) -> list[Caption | Failed]:
        results: list[Caption | Failed] = [
            Caption(f" {len(window.images)} pictures, {window.duration_s:g} s, {window.columns['width']} wide ", 7)
            for window in windows
        ]
        results[1:2] = [Failed(Reason.SERVICE, "the line is busy")] * len(results[1:2])
        results[2:3] = [Caption("  ")] * len(results[2:3])
        return results


class UnknownColumnCaptioner(PartlyFailingCaptioner):
    """Reads a column that filtered_clips does not have."""

    columns = ("beauty",)
