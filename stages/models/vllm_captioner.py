"""A captioner behind a server of its own: vLLM, started by each worker on its share of a GPU, and ended with it.

Light to import; the HTTP client is loaded in the worker.
"""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, TypeVar

from stages import lazy
from stages.errors import ParamsError, Reason
from stages.models.captioner import Caption, CaptionInput
from stages.models.checkpoints import TEXTS, Checkpoint, resolve
from stages.models.embedder import ModelIdentity
from stages.models.openai_captioner import OpenAICaptioner
from stages.params import CaptionParams
from stages.stage import WorkerMetadata
from stages.tasks import Failed

T = TypeVar("T")


class VllmCaptioner(OpenAICaptioner):
    """As `OpenAICaptioner`, with a server that it starts, watches, and starts again where it dies.

    ``caption.model`` is a folder or a name on the hub, as in process.
    """

    serves_itself = True

    def __init__(self, params: CaptionParams) -> None:
        if not params.model or params.model.startswith("-"):
            raise ParamsError(
                "caption.model must name a checkpoint where caption.captioner is 'vllm', got "
                f"{params.model!r}. Give a folder, or a name on the hub such as 'Qwen/Qwen2.5-VL-7B-Instruct'.",
                "caption.model",
            )
        super().__init__(params)
        self._managed: Any = None
        self.dtype = None if params.dtype == "auto" else params.dtype

    @cached_property
    def checkpoint(self) -> Checkpoint:
        """The checkpoint, with its commit."""
        return resolve(self._params.model, self._params.revision, "caption.model")

    def identity(self) -> ModelIdentity:
        """As `TransformersCaptioner.identity`.

        Raises:
            ParamsError: the folder holds no safetensors, or nobody knows the revision's commit.
        """
        return ModelIdentity(self.checkpoint.name, self.checkpoint.weights_hash(TEXTS))

    def pinned_params(self) -> CaptionParams:
        """With the commit in place of a branch, which may move before the last worker starts."""
        commit = self.checkpoint.commit
        return self._params.model_copy(update={"revision": commit}) if commit else self._params

    def fetch(self) -> None:
        """Bring the checkpoint to this node."""
        self.checkpoint.fetch()

    def setup(self, worker_metadata: WorkerMetadata) -> None:
        """Start the server, and make the client.

        Raises:
            ParamsError: the deployment names no command, or the extra ``servers`` is not installed.
            StageError: the server does not start.
        """
        serve = lazy.load("stages.models.managed_server:serve", wanted_by="captioner 'vllm'")
        self._managed = serve(self.checkpoint, self._params)
        self._url = f"{self._managed.base_url}/chat/completions"
        self._model = self._managed.model
        super().setup(worker_metadata)

    def caption(self, windows: Sequence[CaptionInput]) -> list[Caption | Failed]:
        """As `OpenAICaptioner.caption`; what a server left unanswered that died is asked again of the next one."""
        return self._asked(super().caption, windows)

    def yes_probabilities(self, windows: Sequence[CaptionInput]) -> list[float | Failed]:
        """As `OpenAICaptioner.yes_probabilities`, likewise."""
        return self._asked(super().yes_probabilities, windows)

    def close(self) -> None:
        """Close the connections, and end the server."""
        super().close()
        if self._managed is not None:
            self._managed.close()
            self._managed = None

    def _asked(
        self, ask: Callable[[Sequence[CaptionInput]], list[T | Failed]], windows: Sequence[CaptionInput]
    ) -> list[T | Failed]:
        seen = self._managed.starts
        results = ask(windows)
        left = [index for index, result in enumerate(results) if _is_unanswered(result)]
        while left and self._managed.revive(seen):
            seen = self._managed.starts
            for index, result in zip(left, ask([windows[index] for index in left]), strict=True):
                results[index] = result
            left = [index for index in left if _is_unanswered(results[index])]
        return results

    def api_key(self) -> str | None:
        """Of the managed server."""
        return self._managed.api_key


def _is_unanswered(result: object) -> bool:
    return isinstance(result, Failed) and result.reason is Reason.SERVICE
