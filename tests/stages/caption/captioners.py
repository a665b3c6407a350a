"""Captioners of a user's own, named by dotted path."""

from collections.abc import Sequence

from stages.errors import Reason
from stages.models import Caption, CaptionInput, ModelIdentity
from stages.params import CaptionParams
from stages.stage import WorkerMetadata
from stages.tasks import Failed


class Fickle:
    """Describes what it is shown, fails the second window, has no words for the third."""

    columns: tuple[str, ...] = ("width",)
    reads_prompt = True

    def __init__(self, params: CaptionParams) -> None:
        self.params = params

    def identity(self) -> ModelIdentity:
        return ModelIdentity("fickle", "")

    def setup(self, worker_metadata: WorkerMetadata) -> None:
        pass

    def caption(self, windows: Sequence[CaptionInput]) -> list[Caption | Failed]:
        said: list[Caption | Failed] = [
            Caption(f" {len(window.images)} pictures, {window.duration_s:g} s, {window.columns['width']} wide ", 7)
            for window in windows
        ]
        said[1:2] = [Failed(Reason.SERVICE, "the line is busy")] * len(said[1:2])
        said[2:3] = [Caption("  ")] * len(said[2:3])
        return said


class Curious(Fickle):
    """Asks for what no clip has."""

    columns = ("beauty",)
