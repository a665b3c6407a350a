"""A code location whose first run is killed half-way: its process ends as if the system had run out of memory."""

import os
import signal
from pathlib import Path

import dagster as dg

from curator_dagster.curation import Curation
from curator_dagster.definitions import curation_definitions
from curator_dagster.resources import RayPool, Storage
from stages.pipeline import Pipeline
from stages.run.phases import PHASE_CLASSES
from stages.tasks import Failed, Rejected, VideoTask
from tests.curator_dagster import tiny_phases


class KilledOnce(tiny_phases.OutcomeByName):
    """Ends its process where the file that an environment variable names is there, and takes that away."""

    def process(self, task: VideoTask) -> VideoTask | Rejected | Failed:
        marker = Path(os.environ["KILL_MARKER"])
        if marker.exists():
            marker.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().process(task)


class Filter(tiny_phases.Filter):
    """The phase in which that happens."""

    def pipeline(self) -> Pipeline:
        return Pipeline("filter", [KilledOnce("filter")], collect=tiny_phases.rows_of)


PHASE_CLASSES.update(tiny_phases.PHASES, filter=Filter)
defs = curation_definitions(Curation(), RayPool(mode="local"), Storage(root=dg.EnvVar("CURATOR_ROOT")))
