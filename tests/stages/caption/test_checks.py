"""What decides over captions, through the whole phase: reasons, thresholds that ask nobody again, several prompts."""

import json
from pathlib import Path
from typing import Any

import pytest

from stages.errors import ParamsError
from stages.params import CaptionParams, validate
from stages.tasks import Row
from tests.clips import clip_row
from tests.stages.caption.custom_captioners import ScriptedCaptioner
from tests.stages.caption.test_phase import captions, run
from tests.stages.caption.test_prompts import GOOD
from tests.videos import three_shots

SCRIPTED = "tests.stages.caption.custom_captioners:ScriptedCaptioner"
SENTENCE = "A dog runs across a green field while a man in a blue coat watches from the fence."
ASK = "Describe what the people in the clip are doing, in one sentence."


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return three_shots(tmp_path_factory.mktemp("source") / "three.mp4")


@pytest.fixture(autouse=True)
def nobody_asked() -> None:
    ScriptedCaptioner.asked.clear()


def answered(root: Path, video: Path, answer: str, *, cut: bool = False, **params: Any) -> list[Row]:
    """The rows of one clip whose captioner says this."""
    columns = params.pop("columns", {})
    params.setdefault("prompt", ASK)
    word = "Describe"
    args = {"answers": {word: [answer]}, "cut": cut}
    run(root, [clip_row(video, 0, 75, **columns)], captioner=SCRIPTED, args=args, **params)
    return captions(root)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (SENTENCE, None),
        (f"<think>a dog</think>{SENTENCE}", None),
        ("I'm sorry, but I can't help with describing this video clip.", "refused"),
        ("Ein Hund läuft über die Wiese, und ein Mann steht mit einer Tasche am Zaun.", "wrong_language"),
        ("一只狗在草地上奔跑", "wrong_language"),
        ("A dog.", "wrong_length"),
        ("A dog runs and a dog runs and a dog runs and a dog runs and a dog runs.", "repetitive"),
        (f"{SENTENCE}<|im_end|> {SENTENCE[:40]}", "control_characters"),
        ("Dogs running fast", None),
    ],
)
def test_caption_is_judged_by_its_text(tmp_path: Path, video: Path, answer: str, reason: str | None) -> None:
    (row,) = answered(tmp_path, video, answer)
    assert (row["status"], row["reason"]) == ("rejected" if reason else "kept", reason)
    assert row["caption"] == answer.partition("</think>")[2] or answer
    assert set(dict(row["scores"])) >= {"words", "repetition", "refusal", "control_characters", "script_share"}


@pytest.mark.parametrize("answer", ["<think>I see a dog", "  ", "<think>a</think>"])
def test_caption_of_thinking_alone_is_none(tmp_path: Path, video: Path, answer: str) -> None:
    (row,) = answered(tmp_path, video, answer)
    assert (row["status"], row["reason"], row["caption"]) == ("failed", "empty_caption", None)


def test_caption_that_is_cut_keeps_its_words(tmp_path: Path, video: Path) -> None:
    (row,) = answered(tmp_path, video, "A dog runs across a", cut=True)
    assert (row["reason"], row["caption"], row["finish_reason"]) == ("cut_short", "A dog runs across a", "length")
    assert "ended at the largest number of tokens, also at twice as many: ...'A dog runs across a'" in row["error"]


def test_thresholds_decide_again_and_ask_nobody(tmp_path: Path, video: Path) -> None:
    answer = "Ein Hund läuft über die Wiese, und ein Mann steht mit einer Tasche am Zaun."
    outcomes = []
    decisions: list[dict[str, Any]] = [
        {},
        {"language": "de"},
        {"language": "any"},
        {"score_only": ["wrong_language"]},
        {"language": "fr"},
    ]
    for params in decisions:
        (row,) = answered(tmp_path, video, answer, **params)
        outcomes.append((row["reason"], row["language"], row["caption"] == answer))
    assert outcomes == [("wrong_language", "de", True), *[(None, "de", True)] * 3, ("wrong_language", "de", True)]
    limits: list[tuple[dict[str, Any], str | None]] = [
        ({"min_words": 20}, "wrong_length"),
        ({"max_words": 4}, "wrong_length"),
        ({"max_repetition": 0.0}, None),
    ]
    for params, reason in limits:
        (row,) = answered(tmp_path, video, answer, language="any", **params)
        assert row["reason"] == reason
    assert len(ScriptedCaptioner.asked) == 1


def test_caption_that_contradicts_what_was_measured_is_rejected(tmp_path: Path, video: Path) -> None:
    pan = {"camera_motion": "pan", "camera_speed": 0.1, "camera_direction": "left", "subject_motion": 0.01}
    told = f"{ASK} Measured: {{measured}}"
    says = "A static shot of a dog that runs across a green field."
    (row,) = answered(tmp_path, video, says, prompt=told, columns=pan)
    ((asked, _),) = ScriptedCaptioner.asked
    assert asked.endswith("Measured: - The camera pans left.")
    assert (row["reason"], dict(row["scores"])["contradictions"]) == ("contradicts_measurement", 1)
    assert row["error"] == 'The answer says "static shot", and as measured the camera pans left.'
    (row,) = answered(tmp_path, video, says, prompt=told, columns=pan, score_only=["contradicts_measurement"])
    assert row["status"] == "kept"
    assert len(ScriptedCaptioner.asked) == 1
    (row,) = answered(tmp_path, video, says, prompt=f"{ASK} Now.", columns=pan)
    assert (row["status"], "contradictions" in dict(row["scores"])) == ("kept", False)


def test_another_measurement_asks_again_where_the_prompt_tells_it(tmp_path: Path, video: Path) -> None:
    still = {"camera_motion": "static", "camera_speed": 0.0, "motion_class": "low"}
    for columns in (still, {**still, "camera_speed": 0.001}, {**still, "camera_speed": 0.001}):
        answered(tmp_path, video, SENTENCE, columns=columns, prompt=f"{ASK} {{measured}}")
    assert len(ScriptedCaptioner.asked) == 2
    for columns in (still, {**still, "camera_speed": 0.001}):
        answered(tmp_path, video, SENTENCE, columns=columns)
    assert len(ScriptedCaptioner.asked) == 3


def test_structured_answer_gives_a_row_a_caption(tmp_path: Path, video: Path) -> None:
    rows = answered(tmp_path, video, f"```json\n{json.dumps(GOOD)}\n```", prompt="training")
    assert [(row["field"], row["caption"], row["caption_index"]) for row in rows] == [
        ("long_caption", GOOD["long_caption"], 0),
        ("short_caption", GOOD["short_caption"], 1),
    ]
    assert [row["status"] for row in rows] == ["kept", "kept"]
    assert [(row["tokens"], row["prompt_tokens"]) for row in rows] == [(9, 100), (None, None)]
    assert json.loads(rows[0]["fields"]) == GOOD
    assert rows[0]["prompt_id"].startswith("training@")
    ((_, schema),) = ScriptedCaptioner.asked
    assert isinstance(schema, dict)
    assert schema["required"][0] == "subject"


def test_structured_answer_that_does_not_parse_is_rejected(tmp_path: Path, video: Path) -> None:
    (row,) = answered(tmp_path, video, json.dumps({**GOOD, "angle": "sideways"}), prompt="training")
    assert (row["status"], row["reason"], row["fields"]) == ("rejected", "wrong_schema", None)
    assert "answer.angle must be one of" in row["error"]
    assert "sideways" in row["caption"]


def test_several_prompts_are_rows_of_their_own(tmp_path: Path, video: Path) -> None:
    short, german = "A dog runs on a field.", "Ein Hund läuft über die Wiese."
    args = {"answers": {"Describe": [SENTENCE], "Name": [short], "Sag,": [german]}}
    prompts = [ASK, "Name it in a few words of the language that you are asked in.", "Sag, was in dem Clip ist."]
    report = run(tmp_path, [clip_row(video, 0, 75)], captioner=SCRIPTED, args=args, prompts=prompts)
    rows = captions(tmp_path)
    assert [row["caption"] for row in rows] == [SENTENCE, short, german]
    assert [row["caption_index"] for row in rows] == [0, 1, 2]
    assert [row["status"] for row in rows] == ["kept"] * 3
    assert len({row["prompt_id"] for row in rows}) == 3
    assert report.rows == 3
    with pytest.raises(ParamsError, match="must name each prompt once"):
        run(tmp_path, [clip_row(video, 0, 75)], captioner=SCRIPTED, args=args, prompts=[ASK, ASK])


def three_alike(root: Path, video: Path, texts: list[str], **params: Any) -> list[str | None]:
    """Reasons of clips whose captions are these, in their order."""
    clips = [clip_row(video, 75 * number, 75 * number + 70 + number) for number in range(len(texts))]
    args = {"answers": {"Describe": texts}}
    run(root, clips, captioner=SCRIPTED, args=args, prompt=ASK, **params)
    by_clip = {row["clip_id"]: row for row in captions(root)}
    return [by_clip[clip["clip_id"]]["reason"] for clip in clips]


def test_captions_that_many_clips_have_are_rejected(tmp_path: Path, video: Path) -> None:
    alike = [SENTENCE, SENTENCE.replace("green", "wide").upper(), "Two cats sleep on a red chair beside a window."]
    assert three_alike(tmp_path, video, alike) == [None, None, None]
    counts = [dict(row["scores"]).get("near_duplicates") for row in captions(tmp_path)]
    assert sorted(counts, key=str) == [1, 1, None]
    assert three_alike(tmp_path, video, alike, max_near_duplicates=0) == ["near_duplicate", "near_duplicate", None]
    assert three_alike(tmp_path, video, alike, max_near_duplicates=1) == [None, None, None]
    assert len(ScriptedCaptioner.asked) == 3


def test_comparison_with_others_is_the_same_in_the_next_run(tmp_path: Path, video: Path) -> None:
    """A run that has nothing to do makes no version; a table with one clip less is decided as if it never had it."""
    alike = [SENTENCE, SENTENCE, "Two cats sleep on a red chair beside a window."]
    clips = [clip_row(video, 75 * number, 75 * number + 70) for number in range(3)]
    settings: dict[str, Any] = {"captioner": SCRIPTED, "args": {"answers": {"Describe": alike}}, "prompt": ASK}
    first = run(tmp_path, clips, **settings, max_near_duplicates=0)
    again = run(tmp_path, clips, **settings, max_near_duplicates=0)
    assert (first.counts["rejected"], first.reasons) == (2, {"near_duplicate": 2})
    assert (again.commit, again.data_version) == (first.commit, first.data_version)
    files = sorted((tmp_path / "manifests" / "captions").rglob("rows-*"))
    run(tmp_path, clips, **settings, max_near_duplicates=0)
    assert sorted((tmp_path / "manifests" / "captions").rglob("rows-*")) == files
    fewer = run(tmp_path, clips[1:], **settings, max_near_duplicates=0)
    assert (fewer.computed, fewer.counts["kept"], fewer.counts["rejected"]) == (0, 2, 0)
    back = run(tmp_path, clips, **settings, max_near_duplicates=0)
    assert (back.computed, back.reasons, back.data_version) == (0, {"near_duplicate": 2}, first.data_version)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"language": "english"}, r"caption\.language"),
        ({"min_words": 9, "max_words": 8}, "min_words must be at most max_words, got 9 > 8"),
        ({"score_only": ["dull"]}, "score_only must be among cut_short, .*, got dull"),
        ({"min_similarity": 0.2}, "min_similarity requires similarity_model"),
        ({"refine_base_url": "ftp://x"}, "base_url must be an http"),
    ],
)
def test_params_reject_what_does_not_fit(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        validate(CaptionParams, "caption", values)


def test_language_that_nobody_tells_is_refused_before_any_work(tmp_path: Path, video: Path) -> None:
    with pytest.raises(ParamsError, match=r"caption\.language must be one of auto, any, ar, bg, .*, got 'xx'"):
        answered(tmp_path, video, SENTENCE, language="xx")
    assert not ScriptedCaptioner.asked
