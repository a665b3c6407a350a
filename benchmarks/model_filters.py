"""Measure the filters with models on labelled shots: what title cards and overlays become, what each filter costs.

    PYTHONPATH=. python benchmarks/model_filters.py MEDIA WORK [--sheet FILE]

MEDIA holds the shared videos and their shots.json; WORK takes frame stores. Each shot of 0.8 s or more is a clip.
"""

import argparse
import json
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from stages.filter import Filter
from stages.filter.base import Measured
from stages.filter.phase import build_filters
from stages.filter.reductions import reduced
from stages.media import FrameLoader, clip_task, frames_key
from stages.models import Brisque
from stages.models.efficientnet import EfficientNetLite0Embedder
from stages.params import EmbedParams, FilterParams
from stages.sources import Source
from stages.stage import NodeInfo, WorkerMetadata
from stages.storage import digest, stat_source
from stages.tasks import Clip, Row

FPS, MAX_PX = 2.0, 448
LEAST_S = 0.8
WORKER = WorkerMetadata("benchmark", NodeInfo("here", 1, 0))
SEEN = (
    "sintel_trailer_30s_noaudio.mp4",
    "leaf_deer_24s.mp4",
    "bikes_10s.mp4",
    "dog_eating_14s.mp4",
    "hands_blocks_10s.mp4",
)
"""Videos on which confidence, size of pictures and limits were chosen."""
SINTEL = {224: "card", 1014: "card", 1140: "card", 1163: "card"}
LABELS: dict[str, dict[int, str]] = {
    "sintel_trailer_30s_noaudio.mp4": {176: "card"},
    "sintel_trailer_52s.mp4": SINTEL,
    "chromeicon_30s.mp4": {334: "scene", 645: "card"},
    "chrome_morph_34s.mp4": {0: "card", 931: "card"},
    "leaf_deer_24s.mp4": {0: "card", 30: "overlay", 240: "overlay", 423: "overlay", 558: "overlay"},
    "counter_cuts_3s.mp4": {0: "card", 10: "card", 20: "card"},
    "pattern_portrait_sd_logo_bar.mp4": {0: "overlay"},
    "tractor_vp9.webm": {0: "overlay"},
    "hands_blocks_10s.mp4": {0: "scene"},
}
"""By eye, by first frame: a title card (or a clip with one in it), text or a logo over a scene, text that belongs to
the scene; no text elsewhere. Every shot of slides and of the screen is a card."""
ALL_CARDS = ("slides_122s_1080p.mp4", "screen_editor_60fps.mp4")
OTHERS = ("globe_30s.mp4", "pour_coffee_10s.mp4", "nasa_jwst_13s.mp4", "asl_book.mkv", "webcam_sheet_wide.mov")
OTHERS += ("city_night_cc0.mpg", "flower_5s.mp4", "bikes_10s.mp4", "dog_eating_14s.mp4", "gutter_water_av1.webm")


@dataclass(frozen=True)
class Shot:
    """A clip with its pictures, and what the eye sees in it."""

    video: str
    label: str
    clip: Clip


def shots_of(video: Path, known: dict[str, Any]) -> list[tuple[int, int]]:
    """Frames [start, end) between transitions."""
    with av.open(str(video)) as container:
        stream = container.streams.video[0]
        rate = float(stream.average_rate or 25)
        frames = known.get("n_frames") or stream.frames
    edges = sorted([(cut, cut) for cut in known.get("cuts", [])] + [tuple(each) for each in known.get("gradual", [])])
    found, start = [], 0
    for end, following in [*edges, (frames, frames)]:
        if end - start >= LEAST_S * rate:
            found.append((start, end))
        start = following
    return found


def row_of(video: Path, start: int, end: int) -> Row:
    info = stat_source(str(video))
    source = Source(str(video), info.etag, info.size_bytes)
    with av.open(str(video)) as container:
        stream = container.streams.video[0]
        assert stream.time_base is not None
        first = next(container.decode(video=0)).pts or 0
        step = Fraction(1) / ((stream.average_rate or Fraction(25)) * stream.time_base)
    return {
        **{"partition": "p", "video_id": source.video_id, "uri": source.uri, "etag": source.etag},
        **{"clip_id": digest(source.video_id, str(start), str(end)), "time_base": str(stream.time_base)},
        **{"start_pts": first + int(start * step), "end_pts": first + int(end * step)},
        **{"shot_start_pts": first + int(start * step), "shot_end_pts": first + int(end * step)},
        **{"start_frame": start, "end_frame": end, "frames_fps": FPS, "frames_max_px": MAX_PX},
        "frames_key": frames_key(source.video_id, FPS, MAX_PX),
    }


def shots(media: Path, work: Path) -> Iterator[Shot]:
    known = json.loads((media / "shots.json").read_text())
    loader = FrameLoader(str(work))
    for name in sorted({*LABELS, *ALL_CARDS, *OTHERS}):
        for start, end in shots_of(media / name, known.get(name, {})):
            video = clip_task(row_of(media / name, start, end), "shot").data
            label = "card" if name in ALL_CARDS else LABELS.get(name, {}).get(start, "none")
            yield Shot(name, label, replace(video.clip, frames=loader.load(video)))


def scores_of(each: Filter, clip: Clip) -> dict[str, float | None]:
    found = each.score(clip)
    found = found.scores if isinstance(found, Measured) else found
    named = found if isinstance(found, Mapping) else {each.name: found}
    return {
        name: reduced(value[np.isfinite(value)].tolist(), each.reductions.get(name, "mean"))
        if isinstance(value, np.ndarray)
        else value
        for name, value in named.items()
    }


def timed(work: Callable[[], Any], seconds: dict[str, float], name: str) -> Any:
    start = time.process_time()
    result = work()
    seconds[name] += time.process_time() - start
    return result


def damaged(picture: np.ndarray) -> dict[str, np.ndarray]:
    noise = np.random.default_rng(1).normal(0, 15, picture.shape)
    jpeg = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 10])[1]
    return {
        "as it is": picture,
        "blur, sigma 2": np.asarray(cv2.GaussianBlur(picture, (0, 0), 2)),
        "noise, sigma 15": np.clip(picture + noise, 0, 255).astype(np.uint8),
        "JPEG, quality 10": np.asarray(cv2.imdecode(jpeg, cv2.IMREAD_COLOR)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("media", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--sheet", type=Path)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    filters = build_filters(FilterParams(filters=["text", "nsfw", "quality"]))
    cropping = build_filters(FilterParams(filters=["text"], text_clean_min=0.6))[0]
    embedder = EfficientNetLite0Embedder(EmbedParams())
    for each in (*filters, embedder):
        each.setup(WORKER)
    seconds: dict[str, float] = defaultdict(float)
    kept: Counter[tuple[bool, str, str]] = Counter()
    nsfw: list[float] = []
    quality: dict[str, list[float]] = {}
    tiles: list[np.ndarray] = []
    for shot in shots(arguments.media, arguments.work):
        found = {each.name: timed(partial(scores_of, each, shot.clip), seconds, each.name) for each in filters}
        frames = shot.clip.frames
        assert frames is not None
        timed(partial(embedder.embed, [frames]), seconds, "embed, all pictures")
        seconds["clips"] += 1
        text = found["text"]
        outcome = "kept" if filters[0].violation(text) is None else "rejected"
        rescued = outcome == "rejected" and cropping.violation(text) is None
        kept[(shot.video in SEEN, shot.label, "cropped" if rescued else outcome)] += 1
        nsfw.append(found["nsfw"]["nsfw"] or 0.0)
        told = {name: round(value, 3) for name, value in text.items() if value is not None}
        print(shot.video, shot.clip.start_frame, shot.label, outcome, told, flush=True)
        picture = frames.images[len(frames) // 2]
        if shot.label == "none" and shot.video not in SEEN and picture.std() > 20:
            for name, changed in damaged(picture).items():
                quality.setdefault(name, []).append(float(Brisque().scores(changed[np.newaxis])[0]))
        tile = cv2.resize(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), (224, 126))
        cv2.putText(tile, f"{outcome} {text['text']:.3f} {text['text_card']:.2f}", (4, 14), 0, 0.45, (0, 255, 255), 1)
        tiles.append(tile)
    for (seen, label, outcome), count in sorted(kept.items()):
        print(f"{'seen' if seen else 'aside'} | {label} | {outcome} | {count}")
    print("nsfw, largest of all clips:", round(max(nsfw), 3))
    for name, values in quality.items():
        low, middle, high = np.nanmin(values), np.nanmedian(values), np.nanmax(values)
        print(f"BRISQUE {name}: median {middle:.1f}, {low:.1f} to {high:.1f} of {len(values)}")
    for name, spent in seconds.items():
        print(f"CPU a clip, {name}: {spent / seconds['clips']:.3f}")
    if arguments.sheet:
        tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % 6)
        lines = [np.concatenate(tiles[at : at + 6], axis=1) for at in range(0, len(tiles), 6)]
        cv2.imwrite(str(arguments.sheet), np.concatenate(lines))


if __name__ == "__main__":
    main()
