"""Sessions, by which `curator_dagster` brings the tables of a phase up to date.

    with open_session(ExecutorParams()) as session:
        reports = session.run_phase(params, inputs, outputs)

In: parameters, tables to read, tables to make. Out: committed tables, and a report of each. A session keeps its workers
between phases, and starts them with the first task: a phase whose rows all exist starts nothing.
"""

from stages.models import ModelNeed, fetch_models, model_needs, trusting
from stages.phase import PhaseReport
from stages.run.dry_run import DryRun, PhasePlan
from stages.run.inputs import Inputs
from stages.run.launch_policy import (
    CAPTION_HOSTS_VARIABLE,
    EMBED_HOSTS_VARIABLE,
    PLUGINS_VARIABLE,
    LaunchPolicy,
    host_and_port,
)
from stages.run.params_comparison import changed_params
from stages.run.phases import check_embedder, check_phases, check_ranking, check_reachable, check_signals
from stages.run.progress import Progress
from stages.run.session import Session, open_session
from stages.run.status import read_cluster_status
from stages.run.what_if import KEPT, Comparison, compare, last_filter_params, propose_thresholds

__all__ = [
    "CAPTION_HOSTS_VARIABLE",
    "EMBED_HOSTS_VARIABLE",
    "KEPT",
    "PLUGINS_VARIABLE",
    "Comparison",
    "DryRun",
    "Inputs",
    "LaunchPolicy",
    "ModelNeed",
    "PhasePlan",
    "PhaseReport",
    "Progress",
    "Session",
    "changed_params",
    "check_embedder",
    "check_phases",
    "check_ranking",
    "check_reachable",
    "check_signals",
    "compare",
    "fetch_models",
    "host_and_port",
    "last_filter_params",
    "model_needs",
    "open_session",
    "propose_thresholds",
    "read_cluster_status",
    "trusting",
]
