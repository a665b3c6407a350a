"""Taking out of a root for good what no kept version names, or what was made of one source.

In: a root, and how many versions stay, or a uri. Out: what would go, or has gone. No run calls this.
"""

from stages.maintenance.forgetting import ForgottenSource, forget_source, resolve_source
from stages.maintenance.unnamed_files import VacuumPlan, plan_vacuum, vacuum

__all__ = ["ForgottenSource", "VacuumPlan", "forget_source", "plan_vacuum", "resolve_source", "vacuum"]
