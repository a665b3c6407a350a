"""Says which copies were found, which pairs are wrong, and which of several copies would stay."""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pyarrow as pa

from benchmarks.copied_videos import Video
from stages.dedup.copies import CopyPair
from stages.dedup.quality import quality_keys, quality_values
from stages.tasks import Row

CLEAR_SHARE = 0.6
"""Two clips of one source that share so much of the shorter one are copies; with less, both answers are right."""
Pair = tuple[int, int]


def truth(left: Video, right: Video) -> bool | None:
    """Whether two videos are copies; None where either answer is right."""
    if left.source is None or right.source is None or left.source.family != right.source.family:
        return left.original == right.original
    if left.source.video != right.source.video:
        return False
    shared = min(left.end_s, right.end_s) - max(left.start_s, right.start_s)
    share = shared / min(left.end_s - left.start_s, right.end_s - right.start_s)
    if share >= CLEAR_SHARE:
        return True
    is_one_shot = any(first <= left.start_s < end and first <= right.start_s < end for first, end in left.source.shots)
    return None if share > 0 or (left.source.is_still and is_one_shot) else False


def report_found(
    videos: Sequence[Video],
    among: Collection[Pair],
    candidates: Collection[Pair],
    found: Mapping[Pair, CopyPair],
    *,
    shows_pairs: bool,
) -> None:
    """Print recall by change, and precision.

    Args:
        videos: all.
        among: pairs of them that count.
        candidates: those that were compared.
        found: those that were taken for copies.
        shows_pairs: print those that are missed and wrong.
    """
    hits: dict[tuple[str, str], Counter[bool]] = defaultdict(Counter)
    wrong, undecided = [], 0
    for pair in sorted(among):
        is_copy = truth(videos[pair[0]], videos[pair[1]])
        if is_copy is True:
            hits[_kind(videos[pair[0]], videos[pair[1]])][pair in found] += 1
        if shows_pairs and is_copy is True and pair not in found:
            print("missed", *(videos[each].path.stem for each in pair), "" if pair in candidates else "no candidate")
        if pair in found:
            undecided += is_copy is None
            wrong += [pair] if is_copy is False else []
    for (group, name), counts in sorted(hits.items()):
        print(f"{group}, {name}".ljust(36), f"{counts[True]:4d} of {counts.total()}")
    for group in sorted({group for group, _ in hits}):
        total = sum((counts for (each, _), counts in hits.items() if each == group), Counter[bool]())
        print(f"recall of {group}: {total[True]} of {total.total()}, {total[True] / total.total():.3f}")
    different = sum(truth(videos[a], videos[b]) is False for a, b in candidates)
    print(f"wrong: {len(wrong)}, of {len(found)} found; not judged: {undecided}")
    print(f"candidates of different clips: {different}")
    for a, b in wrong if shows_pairs else ():
        print("wrong", videos[a].path.stem, videos[b].path.stem, found[a, b])


def _kind(left: Video, right: Video) -> tuple[str, str]:
    """Of two copies, what is counted together, and the change of one, where the other is the original."""
    clips = "slides" if left.original.startswith("deck") else "clips"
    changes = [each.change for each in (left, right) if each.change is not None]
    kind = "turned" if any(change.kind in ("turn", "mirror") for change in changes) else "copies"
    if len(changes) == 1:
        return f"{kind} of {clips}", changes[0].name
    return f"{kind} of {clips} among each other", ""


def report_quality(
    videos: Sequence[Video], rows: Sequence[Row], found: Mapping[Pair, CopyPair], *, shows_pairs: bool
) -> None:
    """Print how often the original is the better one, HDR apart, if it came first, and if it came last."""
    values = quality_values(pa.Table.from_pylist(list(rows)))
    groups: dict[str, list[int]] = defaultdict(list)
    for number, video in enumerate(videos):
        if video.source is not None and (video.change is None or video.change.kind != "hdr"):
            groups[video.original].append(number)
    totals: dict[str, Counter[str]] = defaultdict(Counter)
    for name, members in groups.items():
        kind = "slides" if name.startswith("deck") else "clips"
        original = next(number for number in members if videos[number].change is None)
        copies = [each for each in members if tuple(sorted((each, original))) in found]
        contests = [("pairs", [each]) for each in copies] + ([("groups", copies)] if copies else [])
        for contest, others in contests:
            outcome = _outcome(values[[original, *others]])
            totals[f"{contest} of {kind}"][outcome] += 1
            if shows_pairs and outcome != "best":
                print(outcome, contest, videos[original].path.stem, *(videos[each].path.stem for each in others[:1]))
                print(values[[original, *others[:1]]].round(4).tolist())
    for contest, counts in sorted(totals.items()):
        print(
            f"the original is the best, {contest}: {counts['best']}, and {counts['equal']} by age, of {counts.total()}"
        )


def _outcome(values: np.ndarray) -> str:
    """Of clips whose first is the original: it is best, equal to the best, or worse."""
    keys = np.stack(quality_keys(values, np.zeros(len(values), np.int64)), axis=1).tolist()
    if keys[0] > min(keys):
        return "worse"
    return "best" if keys.count(keys[0]) == 1 else "equal"
