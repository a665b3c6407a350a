"""Parameters of the executor: where the work runs, with which resources and limits."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, model_validator

from stages.errors import TRANSIENT_REASONS
from stages.params.base import check_reasons, parameter
from stages.resources import GpuRounding
from stages.retry import Backoff


class ExecutorParams(BaseModel):
    """Where and with how much the work is done. Enters no key."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    address: str = parameter(
        "local",
        "none",
        "'local' starts a private Ray for the run; 'auto', host:port or ray://host:port joins a cluster and leaves it "
        "running; 'connected' takes the Ray that this process has joined already.",
    )
    mode: Literal["streaming", "batch", "local", "xenna", "xenna_batch"] = parameter(
        "streaming",
        "none",
        "All stages at once, one after another, or in this process without Ray (for debugging); with 'xenna' and "
        "'xenna_batch', the first two by Cosmos-Xenna (extra xenna).",
    )
    num_workers: int = parameter(0, "none", "Most workers at once; 0 for one a CPU.", ge=0)
    stall_timeout_s: float = parameter(120.0, "none", "A worker that makes no progress for so long is ended.", gt=0)
    worker_memory_gb: float = parameter(8.0, "none", "A worker with more private memory than this is ended.", gt=0)
    max_item_deaths: int = parameter(3, "none", "A task that has ended so many workers is failed.", ge=1, le=100)
    max_tries: int = parameter(
        6,
        "none",
        "How often a task is tried in one run while it fails for a transient reason, and an operation on the root "
        "while its store does not answer; 1 for no second try. What no wait mends (a full disk, a source that was "
        "removed) is left to the next run at once.",
        ge=1,
        le=100,
    )
    backoff_s: float = parameter(
        1.0, "none", "Wait before the second try; twice as long before each further one.", ge=0, le=3600
    )
    max_backoff_s: float = parameter(30.0, "none", "Longest wait between two tries.", ge=0, le=3600)
    transient: list[str] = parameter(
        [str(reason) for reason in TRANSIENT_REASONS],
        "none",
        "Reasons of failed rows that may pass: tried again in the run, see max_tries, and by every later run. Rows "
        "that failed for another reason are reused until `curator retry` or retry_reasons asks for them.",
    )
    gpu_rounding: GpuRounding = parameter(
        "up",
        "none",
        "How gpu_memory_gb becomes a share of a device: 'up' to hundredths, so that what is asked for fits; 'nemo' to "
        "the nearest tenth, as NeMo Curator does.",
    )
    queue_memory_gb: float = parameter(
        0.0,
        "none",
        "Most bytes that wait between stages, over all queues and machines; 0 for half of Ray's object stores.",
        ge=0,
    )

    @model_validator(mode="after")
    def _reasons_are_known(self) -> Self:
        check_reasons("transient", self.transient)
        return self

    @property
    def is_remote(self) -> bool:
        """True where workers may run on machines other than the driver's."""
        return self.mode != "local" and self.address != "local"

    @property
    def backoff(self) -> Backoff:
        """Tries and waits as one value."""
        return Backoff(self.max_tries, self.backoff_s, self.max_backoff_s)
