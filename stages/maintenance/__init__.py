"""Taking out of a root for good what no kept version names.

In: a root, and how many versions stay. Out: a plan that says what would go, and its removal. No run calls this.
"""

from stages.maintenance.unnamed_files import VacuumPlan, plan_vacuum, vacuum

__all__ = ["VacuumPlan", "plan_vacuum", "vacuum"]
