"""Parameters of write."""

from typing import ClassVar, Literal, Self

from pydantic import model_validator

from stages.params.base import Params, parameter

MAX_H264_QUALITY = 51
"""The largest quantizer of H.264 and HEVC; VP9 and AV1 go to 63."""


class WriteParams(Params):
    """Cutting the surviving clips and writing the dataset."""

    phase: ClassVar[str] = "write"
    asset: ClassVar[str] = "dataset"
    code_version: ClassVar[str] = "3"

    mode: Literal["auto", "copy", "smart", "encode"] = parameter(
        "auto",
        "work",
        "'copy' only without encoding (else rejected), 'encode' always. 'smart' copies where the span allows it, else "
        "the packets between its first and last frames, which are encoded (H.264 and HEVC), else it encodes. 'auto' "
        "does the same, but encodes clips of which too little would be copied.",
    )
    encoder: Literal["h264", "vp9", "av1", "h264_nvenc", "hevc_nvenc", "av1_nvenc"] = parameter(
        "h264",
        "work",
        "What clips are encoded with where they are not copied. Those of NVENC need a GPU with an encoder for each "
        "worker of write, which A100, H100, H200 and B200 lack.",
    )
    quality: int = parameter(
        20, "work", "Constant rate factor of the encoder. Lower is better and larger.", ge=0, le=63
    )
    preset: Literal[
        "auto", "ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow"
    ] = parameter(
        "auto",
        "work",
        "Speed of the encoder, by the names of x264: slower is smaller at the same quality. Other encoders get what is "
        "nearest. 'auto': veryfast of x264, fast of the others, NVENC's own.",
    )
    playable: Literal["any", "browser"] = parameter(
        "any",
        "work",
        "'browser': every clip is an MP4 of H.264 (8 bit, 4:2:0) and AAC, which browsers play; what is not is encoded.",
    )
    uniform: bool = parameter(
        False,
        "work",
        "Every clip has the codec and pixel format of the encoder, and AAC: only clips that have them are copied.",
    )
    height_px: int | None = parameter(
        None,
        "work",
        "Height of every clip, even, in square pixels; the width follows, or is width_px. All clips are then encoded. "
        "Empty for that of the source.",
        ge=16,
        le=8192,
    )
    width_px: int | None = parameter(
        None,
        "work",
        "Width of every clip, likewise. With height_px too, what is too wide or too high is cut off, on both sides "
        "alike.",
        ge=16,
        le=8192,
    )
    fps: float | None = parameter(
        None,
        "work",
        "Frames a second of every clip, at a constant rate: frames are repeated or left out. All clips are then "
        "encoded. Empty for the times of the source.",
        gt=0,
        le=240,
    )
    crop: Literal["none", "bars", "clean"] = parameter(
        "none",
        "work",
        "'bars' cuts off black bars, as far as the stored pictures of the clip show them; such clips are encoded. Let "
        "filter.score_only name letterbox, so that they are not rejected before. 'clean' keeps the largest rectangle "
        "without bars, burned-in text and logos, as filter text found it, where it has crop_min of the picture; set "
        "filter.text_clean_min likewise.",
    )
    crop_min: float = parameter(
        0.6,
        "work",
        "crop='clean': least share of the picture that must stay; a clip of which less would is written whole.",
        gt=0,
        le=1,
    )
    hdr: Literal["tonemap", "keep"] = parameter(
        "tonemap",
        "work",
        "HDR clips (PQ, HLG): 'tonemap' makes SDR of BT.709 of them, so none is copied; 'keep' copies them, or encodes "
        "HEVC of 10 bit whatever the encoder. SDR clips stay as they are.",
    )
    deinterlace: Literal["auto", "never"] = parameter(
        "auto",
        "work",
        "'auto' deinterlaces clips whose interlaced_share is 0.25 or more, so none of them is copied; 'never' leaves "
        "their fields in.",
    )
    require_caption: bool = parameter(
        False, "decision", "Reject a clip without a caption instead of writing it with an empty one."
    )
    preview_fps: float = parameter(1.0, "work", "Pictures a second of the WebP preview; 0 for none.", ge=0, le=60)
    preview_height_px: int = parameter(240, "work", "Height of the preview.", ge=16, le=2160)

    def unused_fields(self) -> set[str]:
        """What 'clean' alone reads."""
        return set() if self.crop == "clean" else {"crop_min"}

    @model_validator(mode="after")
    def _quality_fits_the_encoder(self) -> Self:
        if self.encoder.startswith(("h264", "hevc")) and self.quality > MAX_H264_QUALITY:
            raise ValueError(
                f"quality must be at most {MAX_H264_QUALITY} with encoder={self.encoder!r}, got {self.quality}"
            )
        if odd := [name for name in ("width_px", "height_px") if (getattr(self, name) or 0) % 2]:
            raise ValueError(f"{odd[0]} must be even, as 4:2:0 requires, got {getattr(self, odd[0])}")
        if self.mode == "copy" and (self.width_px or self.height_px or self.fps or self.crop != "none"):
            raise ValueError("width_px, height_px, fps and crop encode clips, which mode='copy' rules out")
        if self.playable == "browser" and not self.encoder.startswith("h264"):
            raise ValueError(f"playable='browser' takes H.264, got encoder={self.encoder!r}; set it to h264")
        if self.hdr == "keep" and (self.uniform or self.playable == "browser"):
            raise ValueError("hdr='keep' makes HEVC of HDR clips, which uniform and playable='browser' rule out")
        return self
