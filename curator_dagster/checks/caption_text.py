"""The check that captions are not empty and not all the same."""

from collections import Counter

import pyarrow.compute as pc

from curator_dagster.checks.check_result import CheckResult
from curator_dagster.checks.checked_table import CheckedTable
from curator_dagster.printable_text import printable

_MAX_TEXT_CHARS = 200


def caption_text(checked: CheckedTable) -> CheckResult:
    """Passes where no kept caption is empty, and no text stands in more than ``checks.caption_repeat_max`` of them.

    Case and spaces are ignored. Fewer than ``checks.captions_min`` captions are not checked for repetition.
    """
    params = checked.params
    table = checked.table(["status", "caption"]).filter(pc.field("status") == "kept")
    texts = Counter(" ".join((text or "").lower().split()) for text in table["caption"].to_pylist())
    empty, captions = texts.pop("", 0), len(table)
    text, times = texts.most_common(1)[0] if texts else ("", 0)
    share = times / captions if captions else 0.0
    is_repeated = captions >= params.captions_min and share > params.caption_repeat_max
    limit = f"at most {params.caption_repeat_max:.0%}"
    if captions < params.captions_min:
        limit = f"not judged below {params.captions_min} captions; from then on {limit}"
    description = f"{captions} captions, {len(texts)} texts; the most frequent stands in {share:.0%} of them ({limit})."
    description += f" Empty: {empty} (at most 0)."
    if empty:
        description += " Caption them again (`curator retry`), or look at the captioner."
    if is_repeated:
        description += " Too many captions are the same: look at the prompt and at what the model is shown."
    metadata = {
        "captions": captions,
        "captions_min": params.captions_min,
        "empty": empty,
        "empty_allowed": 0,
        "texts": len(texts),
        "largest_share": round(share, 4),
        "caption_repeat_max": params.caption_repeat_max,
        "most_frequent": printable(text, _MAX_TEXT_CHARS),
    }
    beyond = share - params.caption_repeat_max
    excess = float(empty) or (beyond if is_repeated else min(beyond, 0.0))
    return CheckResult(not empty and not is_repeated, description, metadata, excess=excess)
