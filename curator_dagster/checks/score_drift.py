"""The check that scores of a partition are distributed as in those before it. The statistics stand in `ecdf`."""

import numpy as np

from curator_dagster.checks.ecdf import Sketch, ks_critical, ks_statistic
from curator_dagster.checks.verdict import Record, Subject, Verdict


def score_drift(subject: Subject) -> Verdict:
    """Fails where a score differs both by more than ``checks.drift_max`` and by more than chance explains.

    What chance explains grows as videos get fewer, so that a small partition, or one with little before it, passes.
    """
    params = subject.params
    ours = subject.history.of(subject.report.partition, subject.commit)
    before = subject.history.before(subject.report.partition, params.drift_partitions)
    # Every score is a trial of its own, so each gets its part of the chance (Bonferroni).
    significance = params.drift_significance / max(1, len(ours))
    details = [
        _compared(name, sketch, theirs, least=params.drift_max, significance=significance)
        for name, sketch in ours.items()
        if (theirs := [sketches[name] for sketches in before if name in sketches])
    ]
    if not details:
        told = f"Nothing to compare: {len(ours)} scores here, {len(before)} earlier partitions with scores."
        return Verdict(True, told, {"partitions_before": len(before)}, excess=-1.0)
    worst = max(details, key=_excess)
    drifted = sorted(str(each["score"]) for each in details if _excess(each) > 0)
    told = f"Largest difference: {worst['score']}, {worst['difference']:.2f} of at most {worst['limit']:.2f}."
    if drifted:
        told += (
            f" Distributed otherwise than in the {len(before)} partitions before: {', '.join(drifted)}. Look at "
            "rejected clips of this partition: its sources differ, or the filter's parameters do."
        )
    figures = {name: worst[name] for name in ("score", "difference", "limit", "median", "median_before", "videos")}
    figures.update(partitions_before=len(before), scores_drifted=len(drifted))
    return Verdict(not drifted, told, figures, sorted(details, key=_excess, reverse=True), _excess(worst))


def _compared(name: str, ours: Sketch, theirs: list[Sketch], *, least: float, significance: float) -> Record:
    videos_before = sum(sketch.videos for sketch in theirs)
    limit = max(least, ks_critical(ours.videos, videos_before, significance))
    median_before = np.median(np.concatenate([sketch.values for sketch in theirs]))
    return {
        "score": name,
        "difference": round(ks_statistic(ours, theirs), 4),
        "limit": round(min(limit, 1.0), 4),
        "median": round(float(np.median(ours.values)), 4),
        "median_before": round(float(median_before), 4),
        "clips": ours.count,
        "clips_before": sum(sketch.count for sketch in theirs),
        "videos": ours.videos,
        "videos_before": videos_before,
    }


def _excess(compared: Record) -> float:
    return float(compared["difference"]) - float(compared["limit"])
