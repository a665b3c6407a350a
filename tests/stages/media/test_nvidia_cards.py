"""What decoders and encoders of NVIDIA's cards take, against lines of NVIDIA's own tables and of its release notes."""

import pytest

from stages.media.nvidia_cards import Card, PictureKind, card_of, why_not_decoded, why_not_encoded

P100, V100, T4 = Card("Tesla P100", (6, 0)), Card("Tesla V100", (7, 0)), Card("Tesla T4", (7, 5))
A100, A10, L4 = Card("NVIDIA A100", (8, 0)), Card("NVIDIA A10", (8, 6)), Card("NVIDIA L4", (8, 9))
H100, B200, RTX = Card("NVIDIA H100", (9, 0)), Card("NVIDIA B200", (10, 0)), Card("RTX PRO 6000", (12, 0))
FUTURE = Card("NVIDIA of next year", (15, 0))


@pytest.mark.parametrize(
    ("codec", "bit_depth", "chroma", "takers", "others"),
    [
        ("h264", 8, "420", (P100, V100, T4, A100, A10, L4, H100, B200, RTX), ()),
        ("h264", 10, "420", (B200, RTX), (P100, T4, A100, L4, H100)),
        ("h264", 8, "422", (RTX,), (T4, L4, H100)),
        ("hevc", 10, "420", (P100, T4, A100, H100), ()),
        ("hevc", 8, "444", (T4, A100, L4, H100), (P100, V100)),
        ("hevc", 10, "422", (B200, RTX), (T4, L4, H100)),
        ("av1", 8, "420", (A10, L4, RTX), (T4, A100, H100, V100)),
        ("vp9", 8, "420", (V100, T4, H100), ()),
        ("mpeg2video", 8, "420", (P100, H100, RTX), ()),
        ("prores", 10, "422", (), (H100, RTX)),
        ("h264", 8, "444", (), (L4, RTX)),
    ],
)
def test_decoders_take_what_nvidias_table_says(
    codec: str, bit_depth: int, chroma: str, takers: tuple[Card, ...], others: tuple[Card, ...]
) -> None:
    kind = PictureKind(codec, bit_depth, chroma, 1920, 1080)  # pyrefly: ignore[bad-argument-type]
    assert [why_not_decoded(card, kind) for card in takers] == [None] * len(takers)
    for card in others:
        told = why_not_decoded(card, kind) or ""
        assert card.name in told
        assert f"takes no {codec} of {bit_depth} bit, {':'.join(chroma)}, 1920x1080" in told


@pytest.mark.parametrize(
    ("card", "codec", "size", "told"),
    [
        (H100, "h264", (4096, 2304), None),
        (H100, "h264", (7680, 4320), "takes h264 up to 4096 pixels, got h264 of 8 bit, 4:2:0, 7680x4320"),
        (RTX, "h264", (7680, 4320), None),
        (H100, "hevc", (7680, 4320), None),
        (H100, "h264", (48, 48), "NVDEC is not used below 64 pixels"),
    ],
)
def test_sizes_have_limits(card: Card, codec: str, size: tuple[int, int], told: str | None) -> None:
    found = why_not_decoded(card, PictureKind(codec, 8, "420", *size))
    assert found is None if told is None else told in (found or "")


def test_a_card_of_a_later_generation_is_tried() -> None:
    assert why_not_decoded(FUTURE, PictureKind("av1", 12, "444", 640, 480)) is None
    assert why_not_encoded(FUTURE, "av1") is None


@pytest.mark.parametrize("card", [A100, H100, B200])
def test_cards_of_data_centres_have_no_encoder(card: Card) -> None:
    assert "has no encoder" in (why_not_encoded(card, "h264") or "")


def test_encoders_make_what_their_generation_knows() -> None:
    assert [why_not_encoded(card, "av1") for card in (L4, RTX)] == [None, None]
    assert why_not_encoded(T4, "hevc") is None
    assert why_not_encoded(T4, "av1") == "the encoder of Tesla T4 (Turing) makes h264, hevc, no av1"


def test_a_cpu_is_no_card() -> None:
    assert card_of("cpu") is None
