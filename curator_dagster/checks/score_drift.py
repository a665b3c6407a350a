"""The check that scores of a partition are distributed as in the partitions registered before it."""

import numpy as np

from curator_dagster.checks.check_result import CheckResult, Record
from curator_dagster.checks.checked_table import CheckedTable
from curator_dagster.checks.kolmogorov_smirnov import Sketch, ks_critical_value, ks_statistic


def score_drift(checked: CheckedTable) -> CheckResult:
    """Fails where a score differs both by more than ``checks.drift_max`` and by more than chance explains.

    What chance explains grows as videos get fewer, so a small partition, or one of the first, passes.
    """
    params = checked.params
    ours = checked.history.sketches(checked.report.partition, checked.commit)
    before = checked.history.sketches_before(checked.report.partition, params.drift_partitions)
    # Each score is a test of its own, so the significance is divided by their number (Bonferroni).
    significance = params.drift_significance / max(1, len(ours))
    details = [
        _compare_score(name, sketch, theirs, least=params.drift_max, significance=significance)
        for name, sketch in ours.items()
        if (theirs := [sketches[name] for sketches in before if name in sketches])
    ]
    if not details:
        description = f"Nothing to compare: {len(ours)} scores here, {len(before)} earlier partitions with scores."
        return CheckResult(True, description, {"partitions_before": len(before)}, excess=-1.0)
    worst = max(details, key=_excess)
    drifted = sorted(str(each["score"]) for each in details if _excess(each) > 0)
    description = f"Largest difference: {worst['score']}, {worst['difference']:.2f}; {_describe_limits(worst)}."
    if drifted:
        description += (
            f" Distributed otherwise than in the {len(before)} partitions before: {', '.join(drifted)}. Look at "
            "rejected clips of this partition: its sources differ, or the filter's parameters do."
        )
    metadata = {name: worst[name] for name in worst if name not in ("clips", "clips_before")}
    metadata.update(partitions_before=len(before), scores_drifted=len(drifted))
    return CheckResult(not drifted, description, metadata, sorted(details, key=_excess, reverse=True), _excess(worst))


def _compare_score(name: str, ours: Sketch, theirs: list[Sketch], *, least: float, significance: float) -> Record:
    videos_before = sum(sketch.videos for sketch in theirs)
    by_chance = ks_critical_value(ours.videos, videos_before, significance)
    median_before = np.median(np.concatenate([sketch.values for sketch in theirs]))
    return {
        "score": name,
        "difference": round(ks_statistic(ours, theirs), 4),
        "drift_max": least,
        "by_chance": round(min(by_chance, 1.0), 4),
        "median": round(float(np.median(ours.values)), 4),
        "median_before": round(float(median_before), 4),
        "clips": ours.count,
        "clips_before": sum(sketch.count for sketch in theirs),
        "videos": ours.videos,
        "videos_before": videos_before,
    }


def _describe_limits(compared: Record) -> str:
    """The limit, and what chance explains where that is more; both must be exceeded."""
    limit, by_chance = float(compared["drift_max"]), float(compared["by_chance"])
    text = f"at most {limit:.2f} (checks.drift_max)"
    if by_chance <= limit:
        return text
    explained = "any difference" if by_chance >= 1 else f"up to {by_chance:.2f}"
    videos = f"videos: {compared['videos']}, before: {compared['videos_before']}"
    return f"{text}, but chance alone explains {explained} ({videos}; checks.drift_significance)"


def _excess(compared: Record) -> float:
    return float(compared["difference"]) - max(float(compared["drift_max"]), float(compared["by_chance"]))
