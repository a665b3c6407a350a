"""Scores of texts, by counting; refusals as models word them, and captions that only sound like one."""

import pytest

from stages.caption.answer_text import without_fence, without_thinking
from stages.caption.text_scores import is_refusal, num_control_characters, num_words, repetition

GOOD = (
    "A man in a blue coat walks a brown dog along the river while the sun sets behind the bridge. The camera follows "
    "them slowly to the left, and a cyclist passes in the background."
)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", 0),
        ("A dog's ball rolls.", 4),
        ("A close-up, in 4K.", 4),
        ("一只猫在跑。", 5),
        ("猫が走る cat", 5),
        ("Кошка бежит", 2),
        ("แมวกำลังวิ่ง", 3),
        ("... !!", 0),
    ],
)
def test_words_are_counted(text: str, words: int) -> None:
    assert num_words(text) == words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (GOOD, 0.0),
        ("A dog runs.", 0.0),
        ("a dog runs a dog runs a dog runs a dog runs", 1.0),
        ("The car stops. The car stops. It rains.", 11 / 28),
        ("No. " * 8, 1.0),
        ("A tall tree ------------------------------", 30 / 42),
    ],
)
def test_repetition_is_the_share_that_stands_again(text: str, expected: float) -> None:
    assert repetition(text) == pytest.approx(expected, abs=0.02)


def test_repetition_of_a_loop_at_the_end_is_its_share() -> None:
    """Of 16 words, the last 9 are three rounds of three."""
    text = "A woman in red opens a door and walks out walks out walks out walks out"
    words = text.split()
    assert repetition(text) == pytest.approx(8 / len(words), abs=0.07)


@pytest.mark.parametrize("text", ["猫が走る。" * 6, "一个人在街上走路一个人在街上走路一个人在街上走路"])
def test_repetition_is_seen_without_spaces(text: str) -> None:
    assert repetition(text) > 0.5


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't assist with that request.",
        "I\u2019m sorry, but I cannot view the video you mention.",
        "I am unable to view videos, but if you describe it I can help.",
        "As an AI language model, I cannot watch videos.",
        "Unfortunately, I am not able to see the frames.",
        "No images were provided, so I can only guess.",
        "Please provide the video frames you would like me to describe.",
        "It looks like you haven't attached a video. It was not uploaded.",
        "Es tut mir leid, aber ich kann das Video nicht sehen.",
        "Désolé, je ne peux pas décrire cette vidéo.",
        "Lo siento, no puedo ayudar con eso.",
        "Mi dispiace, ma non posso aiutarti.",
        "Desculpe, mas não posso descrever este vídeo.",
        "Sorry, ik kan deze video niet bekijken.",
        "抱歉\uff0c我无法查看视频。",
        "作为一个人工智能语言模型\uff0c我不能观看视频。",
        "申し訳ありませんが、動画を見ることはできません。",
        "Извините, но я не могу посмотреть это видео.",
        "죄송하지만 영상을 볼 수 없습니다.",
    ],
)
def test_refusals_are_told(text: str) -> None:
    assert is_refusal(text)


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        "A man says that he is sorry and cannot stay.",
        "A sign reads 'Sorry, we are closed' on a glass door.",
        "A sorry-looking dog sits in the rain and cannot find shelter.",
        "No people are visible; waves roll onto an empty beach.",
        "A robot, as an AI assistant would, hands over a cup.",
        "Unfortunately placed furniture blocks the door that a child opens.",
        "Eine Frau öffnet leider geschlossene Fenster.",
        "一个男人抱歉地鞠躬\uff0c然后离开房间。",
        "Two people help a man who is unable to stand.",
    ],
)
def test_captions_are_no_refusals(text: str) -> None:
    assert not is_refusal(text)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        (GOOD, 0),
        ("Line one\nLine two\t.", 0),
        ("A family \U0001f468\u200d\U0001f469\u200d\U0001f467 waves \u2764\ufe0f", 0),
        ("\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", 0),
        ("A dog\x00 runs\x1b[0m", 2),
        ("A d\ufffdg", 1),
        ("A dog\u202e runs\u200b", 2),
        ("A dog runs.<|im_end|>", 1),
        ("[INST] A dog </s>", 2),
        ("\ue000", 1),
    ],
)
def test_control_characters_are_counted(text: str, number: int) -> None:
    assert num_control_characters(text) == number


@pytest.mark.parametrize(
    ("answer", "text", "thinking"),
    [
        ("A dog runs.", "A dog runs.", 0),
        ("<think>Is it a dog?</think>\n\nA dog runs.", "A dog runs.", 27),
        ("Is it a dog?</think>A dog runs.", "A dog runs.", 20),
        ("<THINKING>a</THINKING><thinking>b</thinking>A dog.", "A dog.", 44),
        ("<think>Is it a dog? It may be", "", 29),
        ("A dog runs. <think>or", "A dog runs.", 9),
        ("◁think▷hm◁/think▷A dog.", "A dog.", 17),
        ("<answer>A dog runs.</answer>", "A dog runs.", 0),
        ("A dog runs.<|im_end|></s>", "A dog runs.", 0),
        ("He thinks: a < b and think> c.", "He thinks: a < b and think> c.", 0),
    ],
)
def test_thinking_is_taken_away(answer: str, text: str, thinking: int) -> None:
    assert without_thinking(answer) == (text, thinking)


@pytest.mark.parametrize(
    ("answer", "inside"),
    [
        ('```json\n{"a": 1}\n```', '{"a": 1}'),
        ('{"a": 1}', '{"a": 1}'),
        ("```\nx\n```", "x"),
        ("a ```b``` c", "a ```b``` c"),
    ],
)
def test_fence_around_all_of_an_answer_is_taken_away(answer: str, inside: str) -> None:
    assert without_fence(answer) == inside
