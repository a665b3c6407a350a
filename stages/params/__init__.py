"""Every parameter of every phase, declared once: default, bounds, description, and the effect of a change.

In: a user's values by group and field. Out: frozen models, or one message that names every mistake. The effect of a
field is one of three. `work`: it enters `row_key`, so a change computes the rows again. `decision`: it enters
`decision_key` alone, so a change decides again from stored scores. `none`: it enters no key, so existing rows stay
valid; only `dedup.rebuild` makes the phase ignore them. `Params.unused_fields` names the fields that the chosen method
does not use, which enter no key either.
"""

from stages.params.base import Params
from stages.params.caption import CAPTION_API_KEY_VARIABLE, CaptionParams
from stages.params.checks import CheckParams, Severity
from stages.params.dedup import DedupParams
from stages.params.embed import EMBED_API_KEY_VARIABLE, EmbedParams, FurtherEmbedParams
from stages.params.executor import ExecutorParams
from stages.params.filter import CAMERA_MOTIONS, FilterParams
from stages.params.groups import GROUPS, PARAM_NAMES, PHASES, validate, validate_all
from stages.params.messages import describe_bounds, describe_error
from stages.params.model import GpuParams, ModelParams
from stages.params.quotas import QUOTA_BY_CLUSTER, Quota, parse_quotas
from stages.params.read import ReadParams
from stages.params.split import SPEECH, SplitParams
from stages.params.write import WriteParams
from stages.resources import Dtype

__all__ = [
    "CAMERA_MOTIONS",
    "CAPTION_API_KEY_VARIABLE",
    "EMBED_API_KEY_VARIABLE",
    "GROUPS",
    "PARAM_NAMES",
    "PHASES",
    "QUOTA_BY_CLUSTER",
    "SPEECH",
    "CaptionParams",
    "CheckParams",
    "DedupParams",
    "Dtype",
    "EmbedParams",
    "ExecutorParams",
    "FilterParams",
    "FurtherEmbedParams",
    "GpuParams",
    "ModelParams",
    "Params",
    "Quota",
    "ReadParams",
    "Severity",
    "SplitParams",
    "WriteParams",
    "describe_bounds",
    "describe_error",
    "parse_quotas",
    "validate",
    "validate_all",
]
