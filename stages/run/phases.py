"""Which class is which phase, and whether a request fits before any work is done."""

from collections.abc import Iterable
from typing import Any

from stages.caption import CaptionPhase
from stages.dedup import DedupPhase
from stages.embed import EmbedPhase
from stages.errors import ParamsError
from stages.filter import FilterPhase
from stages.params import ExecutorParams, Params
from stages.phase import Phase
from stages.read import ReadPhase
from stages.split import SplitPhase
from stages.storage import is_in_process
from stages.write import WritePhase

PHASE_CLASSES: dict[str, type[Phase[Any]]] = {
    "read": ReadPhase,
    "split": SplitPhase,
    "filter": FilterPhase,
    "embed": EmbedPhase,
    "caption": CaptionPhase,
    "dedup": DedupPhase,
    "write": WritePhase,
}
"""By the name that `Params.phase` gives."""


def build_phase(params: Params, root: str) -> Phase[Any]:
    """The phase that these parameters are of, over the tables under a root.

    Raises:
        ParamsError: what they name is no class, or its arguments do not fit.
    """
    return PHASE_CLASSES[params.phase](params, root)


def check_phases(params: Iterable[Params], root: str) -> None:
    """Build every phase and its pipeline without running it, so that a wrong request fails before any work.

    Raises:
        ParamsError: names what is wrong in all phases at once: a name that is no class, arguments that do not fit,
            a stage whose input nothing makes.
    """
    problems: list[str] = []
    for each in params:
        try:
            phase = build_phase(each, root)
            phase.pipeline().build()
            phase.identity()  # a splitter or model of another name is looked up only here
        except ParamsError as error:
            problems.append(str(error))
        except (AttributeError, TypeError) as error:  # a user's own class that is no such class
            problems.append(f"{each.phase}: the class named in its parameters must fit its place: {error}.")
    if problems:
        raise ParamsError("\n".join(problems))


def check_reachable(location: str, executor: ExecutorParams) -> None:
    """A root or folder of sources can be seen by those who are to work on it.

    Raises:
        ParamsError: it lies in this process's memory, and workers are other processes.
    """
    if is_in_process(location) and executor.mode != "local":
        raise ParamsError(
            f"What lies in memory is seen by one process alone and requires executor.mode=local, got {location} with "
            f"{executor.mode}. Use a folder or a bucket."
        )
