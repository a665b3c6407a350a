"""One check result of a partition whose asset has several tables, as `embeddings` with further embedders."""

from collections.abc import Mapping

from curator_dagster.checks.check_result import CheckResult, worst_first


def together(results: Mapping[str, CheckResult]) -> CheckResult:
    """The result of all tables: it passes where each does, the worst decides, and each has its numbers by its name.

    Args:
        results: of each table by its name, "" for the asset's own; one at least.
    """
    if len(results) == 1:
        return next(iter(results.values()))
    ordered = worst_first(results)
    _, worst = ordered[0]
    shown = [(name, each) for name, each in ordered if each.passed == worst.passed]
    return CheckResult(
        worst.passed,
        " ".join(f"{name or 'First embedder'}: {each.description}" for name, each in shown),
        {
            f"{name}_{key}" if name else key: value
            for name, each in results.items()
            for key, value in each.metadata.items()
        },
        [{"embedder": name, **record} for name, each in results.items() for record in each.details],
        worst.excess,
        worst.is_evaluated,
    )
