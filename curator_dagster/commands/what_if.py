"""`curator what-if`: what other parameters of filter would keep, from stored scores."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from curator_dagster.commands.cli_params import parse_assignments, parse_params
from curator_dagster.commands.console import build_table, format_hours, stdout_console
from stages.errors import ParamsError
from stages.params import FilterParams, validate_all
from stages.run import KEPT, Comparison, compare, last_filter_params, propose_thresholds

_COLUMNS = ("outcome", "clips now", "hours now", "clips then", "hours then", "change")


def what_if_command(
    root: str, *, config: Path | None, against: Path | None, assignments: Iterable[str], keep: float | None
) -> None:
    """Print what would be kept and rejected, by reason, beside what is now.

    Args:
        root: of the tables.
        config: parameters to try; None for those that the tables were made with.
        against: parameters to compare with; None for the outcomes as they are stored.
        assignments: ``phase.param=value``, set in the parameters to try.
        keep: share of the clips to keep; thresholds for it are proposed, and tried.

    Raises:
        ParamsError: a parameter is wrong, or belongs to another phase.
        ManifestError: nothing was filtered yet, or a table is damaged.
    """
    if keep is not None and not 0 < keep <= 1:
        raise ParamsError(f"--keep must be a share above 0 and at most 1, got {keep:g}.")
    params = _params(root, config, list(assignments))
    out = stdout_console()
    if keep is not None:
        proposed = propose_thresholds(root, params, keep)
        for name, value in proposed.items():
            own = "" if name in FilterParams.model_fields else "   (of a filter of your own: put it into filter.custom)"
            out.print(f"--set filter.{name}={value:g}{own}", soft_wrap=True)
        params = _with_thresholds(params, proposed)
    comparison = compare(root, params, _params(root, against, []) if against else None)
    out.print(build_table(_COLUMNS, _table(comparison), numbers=_COLUMNS[1:]))
    for line in _remarks(comparison):
        out.print(line, soft_wrap=True)


def _params(root: str, config: Path | None, assignments: list[str]) -> FilterParams:
    """Those of the file, else those of the tables, with the assignments."""
    others = sorted(parse_assignments(assignments).keys() - {"filter"})
    if others:
        raise ParamsError(f"what-if tries parameters of filter, got one of {others[0]}. `curator run` takes all.")
    if config:
        return parse_params(config, assignments)["filter"]
    made_with = {"filter": last_filter_params(root).model_dump(exclude_unset=True)}
    return validate_all(parse_assignments(assignments, made_with))["filter"]


def _with_thresholds(params: FilterParams, proposed: dict[str, float]) -> FilterParams:
    values: dict[str, Any] = params.model_dump()
    own = {name: value for name, value in proposed.items() if name not in FilterParams.model_fields}
    values.update((name, value) for name, value in proposed.items() if name not in own)
    values["custom"] = [{**entry, **{name: own[name] for name in own if name in entry}} for entry in values["custom"]]
    return FilterParams(**values)


def _table(comparison: Comparison) -> list[list[object]]:
    now, then = comparison.now, comparison.then
    names = [KEPT, *sorted({*now.clips, *then.clips} - {KEPT})]
    return [
        [
            *(name, now.clips[name], _hours(now.hours, name), then.clips[name], _hours(then.hours, name)),
            f"{then.clips[name] - now.clips[name]:+d}",
        ]
        for name in names
    ]


def _hours(hours: dict[str, float], name: str) -> str:
    return format_hours(hours.get(name, 0.0))


def _remarks(comparison: Comparison) -> list[str]:
    total = sum(comparison.then.clips.values())
    lines = [f"{comparison.then.clips[KEPT]} of {total} clips would be kept; {comparison.now.clips[KEPT]} are now."]
    for verb, counts in (("no longer be kept", comparison.lost), ("be kept again", comparison.won)):
        if counts:
            reasons = ", ".join(f"{name} {count}" for name, count in counts.most_common())
            lines.append(f"{counts.total()} would {verb}: {reasons}.")
    lines += [
        f"{name} has not scored {count} of them yet, and judges none of these here."
        for name, count in comparison.unmeasured.items()
    ]
    return [*lines, "Nothing was written."]
