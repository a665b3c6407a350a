"""The phase classes by name, and checks of a request before any work is done."""

import itertools
from collections.abc import Iterable
from typing import Any

from stages.caption import CaptionPhase
from stages.dedup import DedupPhase, check_quotas, check_rank_by
from stages.embed import EmbedPhase
from stages.errors import ParamsError, did_you_mean
from stages.filter import FilterPhase, named_filters
from stages.manifest import further_tables
from stages.params import (
    DedupParams,
    EmbedParams,
    ExecutorParams,
    FilterParams,
    FurtherEmbedParams,
    Params,
    SplitParams,
    parse_quotas,
)
from stages.phase import Phase
from stages.read import ReadPhase
from stages.split import SplitPhase
from stages.storage import Storage, is_in_memory
from stages.table_names import name_of
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
"""By `Params.phase`."""


def build_phase(params: Params, root: str) -> Phase[Any]:
    """Build the phase of these parameters, for the tables under a root.

    Raises:
        ParamsError: a class that they name does not exist, or does not take their arguments.
    """
    return PHASE_CLASSES[params.phase](params, root)


def check_phases(params: Iterable[Params], root: str) -> None:
    """Build every phase and its pipeline without running it, so that a wrong request fails before any work.

    Raises:
        ParamsError: names the mistakes in all phases at once: a class that does not exist, arguments that it does not
            take, a stage with an input that no stage makes.
    """
    problems: list[ParamsError] = []
    for each in itertools.chain.from_iterable((first, *first.further()) for first in params):
        try:
            phase = build_phase(each, root)
            phase.pipeline().build()
            phase.identity()  # loads the splitter or model that the parameters name
        except ParamsError as error:
            problems.append(_of_table(each, error))
        except (AttributeError, TypeError) as error:  # a user's own class without the expected interface
            text = f"{each.title}: the class named in its parameters must fit its place: {error}."
            problems.append(ParamsError(text, each.phase))
    if len(problems) == 1:
        raise problems[0]
    if problems:
        raise ParamsError("\n".join(map(str, problems)))


def _of_table(params: Params, error: ParamsError) -> ParamsError:
    """The error, which of a further table says which entry of the parameters it is about."""
    if isinstance(params, FurtherEmbedParams):
        return ParamsError(f"embed.more, entry {params.name}: {error}", "embed.more")
    return error


def check_embedder(embed_params: EmbedParams, dedup_params: DedupParams, root: str) -> None:
    """Check that the embedder that dedup names is one of the run, or of an earlier one, before any work.

    Raises:
        ParamsError: its name is neither in `embed.more`, nor has it a table under the root.
    """
    name = dedup_params.embedder
    known = [each.name for each in embed_params.further()]
    if not name or name in known:
        return
    known += [other for table in further_tables(Storage(root)) if (other := name_of(table)) not in known]
    if name not in known:
        raise ParamsError(
            f"dedup.embedder must be the name of an entry of embed.more, got {name!r}."
            + (did_you_mean(name, known) or f" There are {', '.join(known) or 'none'}; '' stands for the first."),
            "dedup.embedder",
        )


def check_ranking(filter_params: FilterParams, dedup_params: DedupParams) -> None:
    """Check that dedup can rank and count by what these filters score, before either runs.

    A user's own filter may give any scores whose names begin with its own.

    Raises:
        ParamsError: `dedup.rank_by` names neither a column of numbers nor a score, or a quota is by nothing known.
    """
    filters = named_filters(filter_params)
    scores = {limit.score for _, each in filters for limit in each.limits}
    beginnings = tuple(each.name for name, each in filters if ":" in name)
    check_rank_by(dedup_params.rank_by, scores, beginnings)
    check_quotas(parse_quotas(dedup_params.quotas), scores, beginnings)


def check_signals(split_params: SplitParams, filter_params: FilterParams) -> None:
    """Check that split measures what these filters cannot do without, before either runs.

    Raises:
        ParamsError: names a filter with the signals that it lacks.
    """
    for name, each in named_filters(filter_params):
        missing = [signal for signal in each.needs_signals if signal not in split_params.signals]
        if missing:
            raise ParamsError(
                f"filter.filters names {each.name!r}, which requires {', '.join(missing)} in split.signals, got "
                f"{split_params.signals}. Add it, as in split.signals+={missing[0]}, or leave out the filter.",
                f"filter.filters.{filter_params.filters.index(name)}",
            )


def check_reachable(location: str, executor: ExecutorParams) -> None:
    """Check that workers can reach a root or a folder of sources.

    Raises:
        ParamsError: it is in this process's memory, and workers are other processes.
    """
    if is_in_memory(location) and executor.mode != "local":
        raise ParamsError(
            f"What lies in memory is seen by one process alone and requires executor.mode=local, got {location} with "
            f"{executor.mode}. Use a folder or a bucket."
        )
