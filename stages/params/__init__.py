"""Every parameter of every phase, declared once: default, bounds, meaning, and what a change of it undoes.

In: a user's values by group and field. Out: frozen models, or one message that names every mistake. Each field says
what it affects. `work`: it enters `row_key`, so a change computes the rows anew. `decision`: it enters `decision_key`
alone, so a change decides again from stored scores. `none`: it enters no key, so rows that are there stay as they are;
`dedup.rebuild` alone asks the phase not to use them. `Params.unread` names the fields that the chosen method does not
read: while it is chosen they enter no key either.
"""

from stages.params.base import Params
from stages.params.caption import CaptionParams
from stages.params.checks import CheckParams, Severity
from stages.params.dedup import DedupParams
from stages.params.embed import EmbedParams
from stages.params.executor import ExecutorParams
from stages.params.filter import FilterParams
from stages.params.groups import GROUPS, PHASES, validate, validate_all
from stages.params.messages import rule_of
from stages.params.read import ReadParams
from stages.params.split import SplitParams
from stages.params.write import WriteParams

__all__ = [
    "GROUPS",
    "PHASES",
    "CaptionParams",
    "CheckParams",
    "DedupParams",
    "EmbedParams",
    "ExecutorParams",
    "FilterParams",
    "Params",
    "ReadParams",
    "Severity",
    "SplitParams",
    "WriteParams",
    "rule_of",
    "validate",
    "validate_all",
]
