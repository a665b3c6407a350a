"""A user's own captioners, named by dotted path."""

from collections.abc import Sequence
from typing import ClassVar

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


class ScriptedCaptioner:
    """Says what ``caption.args`` tells: by the first word of the prompt, the answers of one call after another.

    Attributes:
        asked: prompts and schemas of all calls in this process.
    """

    columns: tuple[str, ...] = ()
    reads_prompt = True
    version = "1"
    asked: ClassVar[list[tuple[str, object]]] = []

    def __init__(self, params: CaptionParams) -> None:
        self._answers = {word: list(texts) for word, texts in params.args["answers"].items()}
        self._cut = params.args.get("cut", False)

    def identity(self) -> ModelIdentity:
        return ModelIdentity("scripted", "")

    def setup(self, worker_metadata: WorkerMetadata) -> None:
        pass

    def caption(self, windows: Sequence[CaptionInput]) -> list[Caption | Failed]:
        self.asked.extend((window.prompt, window.json_schema) for window in windows)
        answers = [self._answers[window.prompt.split()[0]].pop(0) for window in windows]
        return [Caption(answer, 9, 100, is_cut=self._cut) for answer in answers]
