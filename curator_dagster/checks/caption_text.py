"""The check that captions say something, and not all the same."""

from collections import Counter

import pyarrow.compute as pc

from curator_dagster.checks.verdict import Subject, Verdict
from curator_dagster.text import visible

_SHOWN_CHARS = 200


def caption_text(subject: Subject) -> Verdict:
    """Passes where no kept caption is empty, and no text stands in more than ``checks.caption_repeat_max`` of them.

    Case and spaces make no other text. Where there are fewer than ``checks.captions_min``, repetition is not judged.
    """
    params = subject.params
    table = subject.table(["status", "caption"]).filter(pc.field("status") == "kept")
    texts = Counter(" ".join((text or "").lower().split()) for text in table["caption"].to_pylist())
    empty, captions = texts.pop("", 0), len(table)
    text, times = texts.most_common(1)[0] if texts else ("", 0)
    share = times / captions if captions else 0.0
    is_repeated = captions >= params.captions_min and share > params.caption_repeat_max
    told = f"{captions} captions, {len(texts)} texts; the most frequent stands in {share:.0%} of them."
    if empty:
        told += f" {empty} are empty. Caption them again (`curator retry`), or look at the captioner."
    if is_repeated:
        told += (
            f" That is more than {params.caption_repeat_max:.0%}: look at the prompt and at what the model is shown."
        )
    figures = {
        "captions": captions,
        "empty": empty,
        "texts": len(texts),
        "largest_share": round(share, 4),
        "most_frequent": visible(text, _SHOWN_CHARS),
    }
    beyond = share - params.caption_repeat_max
    excess = float(empty) or (beyond if is_repeated else min(beyond, 0.0))
    return Verdict(not empty and not is_repeated, told, figures, excess=excess)
