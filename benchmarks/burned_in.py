"""Measure filter `text` on title cards and logos that are drawn on real footage, a half of which is kept apart.

    PYTHONPATH=. python benchmarks/burned_in.py MEDIA WORK [--only cards] [--half kept]

MEDIA holds the shared videos; WORK takes the videos that are made, and roots. Films of 21 shots of 3 s, ten of them
title cards, and of three more with a title over footage, are split and filtered as `curator run` does it, without
filter `text` and with it. Logos stand in clips of 6 s, in corners, of several shapes, sizes and opacities; of each clip
one is left without. They also stand over films of three to eight shots of 3 s, of which some are left without.
"""

import argparse
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from benchmarks.burned_in_videos import (
    CARDS,
    FONTS,
    FOOTAGE,
    OPACITIES,
    OVER,
    RATE,
    SHAPES,
    SIZE,
    Half,
    Logo,
    Picture,
    card,
    panned,
    random_logo,
    read_shot,
    with_logo,
    write,
)
from benchmarks.model_filters import WORKER, row_of
from stages.filter.base import Measured
from stages.filter.phase import build_filters
from stages.manifest import ManifestRef, read_manifest
from stages.media import Box, FrameLoader, clip_task, covered_share
from stages.params import ExecutorParams, FilterParams, ReadParams, SplitParams
from stages.run import open_session
from stages.sources import list_sources, register_sources
from stages.storage import Storage
from stages.tasks import Size

HALVES: tuple[Half, ...] = ("tuned", "kept")
SHOT_FRAMES = 3 * RATE
NUM_FILMS = {"tuned": 1, "kept": 2}
NUM_SHOTS, NUM_OVER = 11, 3

Taken = tuple[str, float, int]
"""A shared video, a second of it, and how many times slower it is shown, so that its shot lasts 6 s."""
AS_FILMED: dict[Half, tuple[Taken, ...]] = {
    "tuned": (
        *(("bikes_10s.mp4", 3.1, 3), ("door_pan_4s.mp4", 0.3, 2), ("pattern_portrait_hd.mp4", 0.3, 1)),
        *(("carphone_pristine.mp4", 0.3, 2), ("flower_5s.mp4", 0.5, 2), ("gutter_water_av1.webm", 2, 1)),
        *(("sintel_trailer_52s.mp4", second, 3) for second in (23.85, 29.3, 36.4)),
    ),
    "kept": (
        *(("globe_30s.mp4", 2, 1), ("globe_30s.mp4", 14, 1), ("city_night_cc0.mpg", 0.3, 2)),
        *(("city_night_cc0.mpg", 4.8, 3), ("dog_eating_14s.mp4", 2, 1), ("pour_coffee_10s.mp4", 1, 1)),
        *(("nasa_jwst_13s.mp4", 0.3, 2), ("bottles_static_40s.mp4", 5, 1), ("webcam_sheet_vfr.mov", 0.8, 1)),
    ),
}
LASTING_SHOTS = (3, 5, 8)
LASTING_FILMS = 2
"""Of each shape, of none, and of each number of shots."""
LARGER = Size(960, 540)
LOGO_FRAMES = 6 * RATE
MARKED_SHARE = 0.5
"""Of a logo's rectangle, that boxes must cover; and of a box, that must lie on it."""


def films(media: Path, folder: Path, half: Half) -> Iterator[tuple[Path, list[str]]]:
    """Films with what each of their shots is: a kind of card, ``over`` for a title over footage, or ``none``."""
    folder.mkdir(parents=True, exist_ok=True)
    footage = [read_shot(media / name, second, SHOT_FRAMES, slowed=2) for name, second in FOOTAGE[half]]
    for number in range(NUM_FILMS[half]):
        random = np.random.default_rng([11, HALVES.index(half), number])
        cards = [*CARDS, "flat"]
        kinds = [str(each) for each in random.permutation([*cards, *["none"] * NUM_SHOTS, *[OVER] * NUM_OVER])]
        shown = _without_neighbours(len(kinds), len(footage), random)
        path = folder / f"{half}{number}.mp4"
        if not path.exists():
            pictures: list[Picture] = []
            for kind, place in zip(kinds, shown, strict=True):
                font = FONTS[half][int(random.integers(len(FONTS[half])))]
                pictures += footage[place] if kind == "none" else card(kind, footage[place], font, random)
            write(path, pictures, crf=int(random.integers(18, 29)))
        yield path, kinds


def _without_neighbours(count: int, choices: int, random: np.random.Generator) -> list[int]:
    """Numbers below `choices`, all about as often, of which no two in a row are the same."""
    found: list[int] = []
    while len(found) < count:
        drawn = [int(each) for each in random.permutation(choices)]
        found += drawn if found[-1:] != drawn[:1] else drawn[1:]
    return found[:count]


def fates(videos: list[Path], root: Path, params: FilterParams) -> list[dict[str, Any]]:
    """The rows of `filtered_clips` that these videos become."""
    sources = [each for each in list_sources(str(videos[0].parent), ReadParams()) if Path(each.uri) in videos]
    (key,) = register_sources(Storage(root), sources, ReadParams(partition_size=len(videos))) or ("",)
    key = key or next(path.name for path in (root / "manifests" / "videos").iterdir())
    tables = {name: ManifestRef(str(root), name, key) for name in ("videos", "clips", "filtered_clips")}
    with open_session(ExecutorParams(mode="local")) as session:
        session.run_phase(ReadParams(), {}, [tables["videos"]])
        session.run_phase(SplitParams(), {"videos": [tables["videos"]]}, [tables["clips"]])
        session.run_phase(params, {"clips": [tables["clips"]]}, [tables["filtered_clips"]])
    return read_manifest(str(root), "filtered_clips").to_pylist()


def measure_cards(media: Path, work: Path, half: Half) -> None:
    made = dict(films(media, work / "films" / half, half))
    defaults = FilterParams().filters
    for name, filters in (("without text", defaults), ("with text", [*defaults, "text"]), ("text alone", ["text"])):
        counted: dict[str, Counter[str]] = {"card": Counter(), OVER: Counter(), "none": Counter()}
        for row in fates(list(made), work / f"root_{half}", FilterParams(filters=filters)):
            shown = _shown(row, made[Path(row["uri"])])
            group = next((group for group in ("card", OVER) if group in map(_group, shown)), "none")
            fate = row["reason"] or row["status"]
            counted[group][fate] += 1
            if name == "text alone" and (group == "card") == (fate == "kept"):
                scores = {key: value for key, value in dict(row["scores"]).items() if key.startswith("text")}
                place = f"{Path(row['uri']).name}, {row['start_s']:.1f} to {row['end_s']:.1f} s"
                print(f"  {fate}: {place}", shown, row["text"], scores)
        for group, fate in counted.items():
            print(f"{half} | {name} | {group} | {fate.total()} clips | {fate['kept']} kept | {dict(fate)}", flush=True)


def _shown(row: dict[str, Any], kinds: list[str]) -> list[str]:
    """Of the shots that a clip shows a quarter of a second or more, what they are."""
    first, last = (
        int((row[edge] + inside) * RATE / SHOT_FRAMES) for edge, inside in (("start_s", 0.25), ("end_s", -0.25))
    )
    return kinds[first : last + 1]


def _group(kind: str) -> str:
    return kind if kind in (OVER, "none") else "card"


class Marked(NamedTuple):
    """What was found in one clip with a logo, or without."""

    name: str
    is_panned: bool
    logo: Logo | None
    marks: list[Box]
    """Standing boxes without letters."""
    standing: list[Box]
    """All standing boxes."""
    clean: Box | None


class MarkReader:
    """Reads the standing marks of videos; frame stores go below the folder."""

    def __init__(self, work: Path) -> None:
        self._filter = build_filters(FilterParams(filters=["text"]))[0]
        self._filter.setup(WORKER)
        self._loader = FrameLoader(str(work / "frames"))

    def of(self, video: Path, logo: Logo | None, *, is_panned: bool, frames: range = range(LOGO_FRAMES)) -> Marked:
        """Those of a clip of these frames of the video."""
        task = clip_task(row_of(video, frames.start, frames.stop), "clip").data
        clip = replace(task.clip, frames=self._loader.load(task))
        marks = tuple(map(tuple, self._loader.lasting_marks(replace(task, clips=(clip,)))))
        found = self._filter.score(replace(clip, lasting_marks=marks))
        assert isinstance(found, Measured)
        boxes = [each for each in found.columns["text_boxes"] if each["stands"]]
        place = [Box(each["left"], each["top"], each["right"], each["bottom"]) for each in boxes]
        marks = [box for box, each in zip(place, boxes, strict=True) if each["text"] is None]
        clean = found.columns["clean_area"]
        return Marked(video.stem, is_panned, logo, marks, place, Box(*clean) if clean else None)


def logo_clips(media: Path, folder: Path, half: Half) -> Iterator[tuple[Path, Logo | None, bool]]:
    """Videos, the logo in each, and whether the camera is made to move."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, (name, second, slowed) in enumerate(AS_FILMED[half]):
        for is_panned in (False, True):
            size = LARGER if is_panned else SIZE
            pictures = read_shot(media / name, second, LOGO_FRAMES, slowed=slowed, size=size)
            pictures = panned(pictures) if is_panned else pictures
            for version, shape in enumerate([None, *SHAPES[half], "letters"]):
                random = np.random.default_rng([13, HALVES.index(half), number, is_panned, version])
                logo = None if shape is None else random_logo(shape, random)
                path = folder / f"{number}_{Path(name).stem}_{'panned' if is_panned else 'filmed'}_{shape}.mp4"
                if not path.exists():
                    write(
                        path, pictures if logo is None else with_logo(pictures, logo), crf=int(random.integers(18, 29))
                    )
                yield path, logo, is_panned


def measure_logos(media: Path, work: Path, half: Half) -> None:
    reader = MarkReader(work)
    clips = logo_clips(media, work / "logos" / half, half)
    found = [reader.of(path, logo, is_panned=moves) for path, logo, moves in clips]
    print("missed:", *sorted(each.name for each in found if each.logo is not None and not is_found(each)), sep="\n  ")
    print("false:", *sorted(each.name for each in found if each.logo is None and each.marks), sep="\n  ")
    for is_panned in (True, False):
        group = [each for each in found if each.is_panned == is_panned]
        camera = f"{half} | {'camera made to move' if is_panned else 'as filmed'}"
        tell(f"{camera} | shapes", group, lambda logo: logo.shape != "letters")
        tell(f"{camera} | letters", group, lambda logo: logo.shape == "letters")
        marks = [(each.logo, box) for each in group for box in each.marks]
        right = sum(logo is not None and overlap(box, logo.share()) >= MARKED_SHARE for logo, box in marks)
        plain = [each for each in group if each.logo is None]
        false = sum(bool(each.marks) for each in plain)
        print(
            f"{camera} | {len(marks)} marks, {right} on a logo | {len(plain)} clips without a logo, {false} with a mark"
        )
        for opacity in OPACITIES if is_panned else ():
            tell(
                f"{camera} | shapes, opacity {opacity}",
                group,
                lambda logo, at=opacity: logo.shape != "letters" and logo.opacity == at,
            )


def lasting_films(media: Path, folder: Path, half: Half) -> Iterator[tuple[Path, Logo | None, int]]:
    """Films, the logo that stands over all of each, and the number of their shots."""
    folder.mkdir(parents=True, exist_ok=True)
    footage = [read_shot(media / name, second, SHOT_FRAMES, slowed=2) for name, second in FOOTAGE[half]]
    for count in LASTING_SHOTS:
        for version, shape in enumerate([None, *SHAPES[half]] * LASTING_FILMS):
            random = np.random.default_rng([17, HALVES.index(half), count, version])
            logo = None if shape is None else random_logo(shape, random)
            path = folder / f"{count}_{version}_{shape}.mp4"
            shown = random.permutation(len(footage))[:count]
            if not path.exists():
                pictures = [picture for place in shown for picture in footage[place]]
                write(path, pictures if logo is None else with_logo(pictures, logo), crf=int(random.integers(18, 29)))
            yield path, logo, count


def measure_lasting(media: Path, work: Path, half: Half) -> None:
    reader = MarkReader(work)
    found: dict[int, list[Marked]] = {count: [] for count in LASTING_SHOTS}
    for path, logo, count in lasting_films(media, work / "lasting" / half, half):
        for start in range(0, count * SHOT_FRAMES, SHOT_FRAMES):
            shot = range(start, start + SHOT_FRAMES)
            found[count].append(reader.of(path, logo, is_panned=False, frames=shot))
    for count, clips in found.items():
        name = f"{half} | films of {count} shots"
        tell(name, clips, lambda _: True)
        marks = [(each.logo, box) for each in clips for box in each.marks]
        right = sum(logo is not None and overlap(box, logo.share()) >= MARKED_SHARE for logo, box in marks)
        plain = [bool(each.marks) for each in clips if each.logo is None]
        print(f"{name} | {len(marks)} marks, {right} on a logo | {len(plain)} clips without, {sum(plain)} with a mark")
    for opacity in OPACITIES:
        everything = [each for clips in found.values() for each in clips]
        tell(f"{half} | opacity {opacity}", everything, lambda logo, at=opacity: logo.opacity == at)


def tell(name: str, group: list[Marked], wanted: Callable[[Logo], bool]) -> None:
    """Print how many of the logos that are wanted are found."""
    marked = [each for each in group if each.logo is not None and wanted(each.logo)]
    hits, avoided = sum(map(is_found, marked)), sum(map(is_avoided, marked))
    print(f"{name} | {len(marked)} logos | {hits} found | {avoided} outside the clean rectangle", flush=True)


def overlap(box: Box, other: Box) -> float:
    """The share of a box that lies on another."""
    return box.within(other).area / box.area if box.area else 0.0


def is_found(each: Marked) -> bool:
    return each.logo is not None and covered_share(each.standing, each.logo.share()) >= MARKED_SHARE


def is_avoided(each: Marked) -> bool:
    return each.logo is not None and (each.clean is None or overlap(each.logo.share(), each.clean) < 0.1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("media", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--only", choices=["cards", "logos", "lasting"])
    parser.add_argument("--half", choices=HALVES, help="both by default")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    for half in [arguments.half] if arguments.half else HALVES:
        for name, measure in (("cards", measure_cards), ("logos", measure_logos), ("lasting", measure_lasting)):
            if arguments.only in (None, name):
                measure(arguments.media, arguments.work, half)


if __name__ == "__main__":
    main()
