"""Burned-in text as the real models find it, in pictures whose text and place the test has written."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from stages.errors import ParamsError
from stages.filter.base import Measured
from stages.filter.reductions import reduced
from stages.filter.text_filter import TextFilter
from stages.filter.text_in_clip import ClipBox, joined_text
from stages.manifest import ManifestRef, read_manifest
from stages.media import Box, frames_key
from stages.params import ExecutorParams, FilterParams
from stages.phase import PhaseReport
from stages.run import open_session
from stages.tasks import Row
from tests.clips import PARTITION, WORKER, clip_of, clip_row, commit_rows
from tests.videos import Picture, write_video

WIDTH, HEIGHT = 448, 252
FONT = cv2.FONT_HERSHEY_SIMPLEX


def scenes(count: int) -> list[Picture]:
    """Soft waves that move."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    waves = [np.sin((columns + 5 * at) / 9) * np.cos((rows - 3 * at) / 7) for at in range(count)]
    return [np.repeat((80 + 45 * wave)[..., np.newaxis], 3, axis=2).astype(np.uint8) for wave in waves]


def written(picture: Picture, text: str, left: int, baseline: int, scale: float) -> tuple[Picture, Box]:
    """The picture with white text, and the box of the strokes in pixels."""
    (width, height), below = cv2.getTextSize(text, FONT, scale, 2)
    marked = cv2.putText(picture.copy(), text, (left, baseline), FONT, scale, (245, 245, 245), 2, cv2.LINE_AA)
    return np.asarray(marked, np.uint8), Box(left, baseline - height, left + width, baseline + below // 2)


@pytest.fixture(scope="module")
def text_filter() -> TextFilter:
    made = TextFilter(text_max=0.02, text_card_max=0.5, text_clean_min=1.0, text_pictures=2)
    made.setup(WORKER)
    return made


def measured(text_filter: TextFilter, pictures: list[Picture]) -> tuple[dict[str, Any], Row]:
    """Scores as a row holds them, and columns."""
    result = text_filter.score(clip_of(pictures))
    assert isinstance(result, Measured)
    scores = {
        name: reduced(list(score), text_filter.reductions[name]) if isinstance(score, np.ndarray) else score
        for name, score in result.scores.items()
    }
    return scores, dict(result.columns)


def test_subtitle_is_found_read_and_left_out_of_the_clean_rectangle(text_filter: TextFilter) -> None:
    drawn = [written(picture, "The dragon sleeps", 80, 230, 0.9) for picture in scenes(4)]
    scores, columns = measured(text_filter, [picture for picture, _ in drawn])
    box = drawn[0][1]
    assert scores["text"] == pytest.approx(box.area / (WIDTH * HEIGHT), rel=0.35)
    assert scores["text_stands"] == pytest.approx(scores["text"], rel=0.1)
    assert columns["text"].replace(" ", "").casefold() == "thedragonsleeps"
    (found,) = columns["text_boxes"]
    assert (found["pictures"], found["stands"]) == (2, True)
    left, top, right, bottom = columns["clean_area"]
    assert (left, top, right) == (0, 0, 1)
    assert 0.72 < bottom <= box.top / HEIGHT
    assert scores["text_card"] < 0.5
    assert text_filter.violation(scores) == (f"text must be at most 0.02 (filter.text_max), got {scores['text']:.6g}.")


def test_title_card_is_told_however_small_its_text(text_filter: TextFilter) -> None:
    card, _ = written(np.full((HEIGHT, WIDTH, 3), 12, np.uint8), "Coming soon", 170, 130, 0.5)
    scores, columns = measured(text_filter, [card] * 3)
    assert scores["text"] < 0.03
    assert scores["text_card"] > 0.95
    assert columns["text"].replace(" ", "").casefold() == "comingsoon"
    lenient = TextFilter(text_max=1, text_card_max=0.5, text_clean_min=0.1, text_pictures=2)
    assert "text_card must be at most 0.5" in str(lenient.violation(scores))


def test_pictures_without_text_have_none(text_filter: TextFilter) -> None:
    scores, columns = measured(text_filter, scenes(3))
    assert scores == {"text": 0, "text_card": 0, "text_stands": 0, "text_clean": 1}
    assert columns == {"text": "", "text_boxes": [], "clean_area": [0, 0, 1, 1]}
    assert text_filter.violation(scores) is None


def test_clean_rectangle_makes_up_for_text_where_it_is_to_be_cut_out() -> None:
    scores = {"text": 0.2, "text_card": 0.1, "text_clean": 0.7}
    assert TextFilter(0.02, 0.5, 0.7, 2).violation(scores) is None
    assert TextFilter(0.02, 0.5, 0.71, 2).violation(scores) is not None
    assert TextFilter(0.02, 0.5, 1.0, 2).violation({**scores, "text_clean": 1.0}) is not None


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["SINTEL", "Sintel", "a film"], "SINTEL a film"),
        (["a film by", "A FILM"], "a film by"),
        (["one", "two", "one"], "one two"),
        ([None, "x y"], "x y"),
        ([], ""),
    ],
)
def test_text_of_a_clip_repeats_nothing(texts: list[str | None], expected: str) -> None:
    boxes = [ClipBox(Box(0, 0, 1, 1), text, 1.0, 1, False) for text in texts]
    assert joined_text(boxes) == expected


def run(root: Path, rows: list[Row], **params: Any) -> PhaseReport:
    clips = commit_rows(root, "clips", rows)
    output = ManifestRef(str(root), "filtered_clips", PARTITION)
    with open_session(ExecutorParams(mode="local")) as session:
        return session.run_phase(FilterParams(**params), {"clips": [clips]}, [output])[PARTITION]


@pytest.fixture(scope="module")
def row(tmp_path_factory: pytest.TempPathFactory) -> Row:
    pictures = [written(picture, "The dragon sleeps", 80, 230, 0.9)[0] for picture in scenes(25)]
    made = clip_row(write_video(tmp_path_factory.mktemp("videos") / "a.mp4", pictures), 0, 25)
    return {**made, "frames_max_px": WIDTH, "frames_key": frames_key(made["video_id"], made["frames_fps"], WIDTH)}


def test_what_was_read_stays_in_the_row_whatever_is_judged_or_added(tmp_path: Path, row: Row) -> None:
    run(tmp_path, [row], filters=["text"])
    (first,) = read_manifest(str(tmp_path), "filtered_clips").to_pylist()
    assert (first["status"], first["reason"]) == ("rejected", "text")
    assert "dragon" in first["text"].casefold()
    assert len(first["text_boxes"]) == 1
    report = run(tmp_path, [row], filters=["text"], text_clean_min=0.6)
    assert (report.computed, report.redecided) == (0, 1)
    (second,) = read_manifest(str(tmp_path), "filtered_clips").to_pylist()
    assert second["status"] == "kept"
    run(tmp_path, [row], filters=["duration", "text"], text_clean_min=0.6)
    (third,) = read_manifest(str(tmp_path), "filtered_clips").to_pylist()
    for name in ("text", "text_boxes", "clean_area"):
        assert first[name] == second[name] == third[name]
    assert run(tmp_path, [row], filters=["duration"]).redecided == 1
    (last,) = read_manifest(str(tmp_path), "filtered_clips").to_pylist()
    assert (last["text"], last["text_boxes"], last["clean_area"]) == (None, None, None)


def test_logo_over_all_shots_of_a_video_stands_in_each_clip(tmp_path: Path) -> None:
    """No shot moves, and of one shot alone nothing could be told."""
    waves = scenes(1)[0].astype(np.int16)
    shots = [np.clip(np.roll(waves, 40 * at, axis=1) + 35 * at - 30, 0, 255).astype(np.uint8) for at in range(4)]
    for picture in shots:
        cv2.rectangle(picture, (380, 20), (419, 59), (250, 250, 250), 3)
        cv2.line(picture, (380, 20), (419, 59), (250, 250, 250), 3)
    video = write_video(tmp_path / "a.mp4", [picture for picture in shots for _ in range(20)], rate=10)
    key = frames_key(clip_row(video, 0, 20)["video_id"], 4.0, WIDTH)
    rows = [clip_row(video, 20 * at, 20 * at + 20, frames_max_px=WIDTH, frames_key=key) for at in (1, 2)]
    run(tmp_path / "root", rows, filters=["text"])
    filtered = read_manifest(str(tmp_path / "root"), "filtered_clips").to_pylist()
    boxes = [each["text_boxes"] for each in filtered]
    assert [[(box["text"], box["stands"]) for box in each] for each in boxes] == [[(None, True)]] * 2
    for (box,) in boxes:
        assert box["left"] * WIDTH == pytest.approx(379, abs=4)
        assert box["bottom"] * HEIGHT == pytest.approx(61, abs=4)
    assert all(each["clean_area"][2] <= 380 / WIDTH or each["clean_area"][1] >= 59 / HEIGHT for each in filtered)


def test_number_of_pictures_scores_again_and_thresholds_do_not() -> None:
    def identity(**params: Any) -> dict[str, Any]:
        fields = ("text_max", "text_card_max", "text_clean_min", "text_pictures")
        values = FilterParams(filters=["text"], **params)
        return TextFilter(**{name: getattr(values, name) for name in fields}).identity()

    assert identity(text_max=0.5) == identity()
    assert identity(text_pictures=3) != identity()


def test_damaged_model_is_refused_before_any_clip(tmp_path: Path) -> None:
    from stages.models.onnx_sessions import open_session as open_network
    from stages.models.text_reader import text_models

    damaged = tmp_path / "det.onnx"
    damaged.write_bytes(Path(text_models()["det"]).read_bytes()[:100_000])
    with pytest.raises(ParamsError, match=r"filter 'text' requires a whole network of ONNX in .*det\.onnx"):
        open_network(str(damaged), "cpu", 1, wanted_by="filter 'text'")
