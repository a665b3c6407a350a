"""Near-duplicates against a comparison of each with each."""

import random

from stages.caption.near_duplicates import SIMILAR, near_duplicates

WORDS = (
    *("man", "woman", "dog", "cat", "walks", "runs", "sits", "red", "blue", "green", "street", "river", "park"),
    *("house", "car", "tree", "slowly", "left", "right", "old"),
)


def counted_by_brute_force(texts: list[str], clips: list[str]) -> list[int]:
    def bag(text: str) -> list[str]:
        return sorted(text.casefold().replace(".", "").split())

    def similarity(first: list[str], second: list[str]) -> float:
        rest, common = list(second), 0
        for word in first:
            if word in rest:
                rest.remove(word)
                common += 1
        return common / (len(first) + len(second) - common)

    bags = [bag(text) for text in texts]
    return [
        len({clips[j] for j in range(len(texts)) if similarity(bags[i], bags[j]) >= SIMILAR} - {clips[i]})
        for i in range(len(texts))
    ]


def made_captions(number: int) -> list[str]:
    """Captions of 12 words, of which many differ from an earlier one in a word or two."""
    draw = random.Random(5)
    texts: list[str] = []
    for _ in range(number):
        words = (
            texts[draw.randrange(len(texts))].split() if texts and draw.random() < 0.6 else draw.choices(WORDS, k=12)
        )
        for _ in range(draw.randrange(3)):
            words[draw.randrange(len(words))] = draw.choice(WORDS)
        texts.append(" ".join(words))
    return texts


def test_near_duplicates_are_those_of_a_full_comparison() -> None:
    texts = made_captions(160)
    clips = [str(index // 2) for index in range(len(texts))]
    expected = counted_by_brute_force(texts, clips)
    assert near_duplicates(texts, clips) == expected
    assert 30 < sum(1 for count in expected if count) < 155


def test_near_duplicates_do_not_depend_on_the_order() -> None:
    texts = made_captions(80)
    clips = [str(index) for index in range(80)]
    order = list(range(80))
    random.Random(1).shuffle(order)
    shuffled = near_duplicates([texts[place] for place in order], [clips[place] for place in order])
    assert [shuffled[order.index(place)] for place in range(80)] == near_duplicates(texts, clips)


def test_near_duplicates_count_clips_not_windows_and_ignore_case_and_marks() -> None:
    texts = [
        "A dog runs in the park.",
        "a dog runs, in the park",
        "A dog runs in the park!",
        "A cat sleeps on a chair.",
    ]
    assert near_duplicates(texts, ["a", "a", "b", "c"]) == [1, 1, 1, 0]
    assert near_duplicates([], []) == []
    assert near_duplicates(["...", "!"], ["a", "b"]) == [1, 1]
