"""Parameters of phases whose work can run on a GPU, and of those that run a model: where, in which precision."""

from typing import Any, Self

from pydantic import model_validator

from stages.params.base import Params, parameter
from stages.resources import Dtype, Resources


class GpuParams(Params):
    """A phase whose workers may hold a GPU, or a share of one."""

    gpu_memory_gb: float = parameter(
        0.0,
        "none",
        "GPU memory that one worker takes, GiB of one device; 0, with gpus=0 too, computes on the CPU.",
        ge=0,
    )
    gpus: float = parameter(
        0.0, "none", "In place of gpu_memory_gb: devices that one worker takes, a fraction only below 1.", ge=0, le=64
    )

    @model_validator(mode="after")
    def _resources_agree(self) -> Self:
        self.resources()
        return self

    def resources(self, cpus: float = 1.0) -> Resources:
        """What a worker of the phase's model occupies."""
        return Resources(cpus=cpus, gpu_memory_gb=self.gpu_memory_gb, gpus=self.gpus)

    @property
    def requires_gpu(self) -> bool:
        """True where the model runs on a GPU."""
        return self.resources().requires_gpu


class ModelParams(GpuParams):
    """A phase that runs a model."""

    dtype: Dtype = parameter(
        "auto",
        "work",
        "Precision that the model computes in. auto: half precision on a GPU, float32 on a CPU; the row says which it "
        "was. Of the bundled shot detector that of its convolutions.",
        keyed_at_default=False,
    )
    args: dict[str, Any] = parameter(
        {},
        "work",
        "Arguments of a class of your own, which it reads as params.args; checked before any work where the class "
        "declares a pydantic model as Args.",
        keyed_at_default=False,
    )
