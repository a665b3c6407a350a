"""What copies of the benchmark differ in: twelve kinds of change, in two strengths or of a drawn one, and mixtures."""

from dataclasses import dataclass

import numpy as np

_TAGGED = "format=yuv420p,setparams=range=tv:color_primaries=bt709:color_trc=bt709:colorspace=bt709,"
_TO_PQ = _TAGGED + "zscale=t=linear:npl=203,format=gbrpf32le,zscale=p=bt2020:t=smpte2084:m=bt2020nc:r=tv"
_TO_HLG = _TAGGED + "zscale=t=linear:npl=203,format=gbrpf32le,zscale=p=bt2020:t=arib-std-b67:m=bt2020nc:r=tv"
_HDR = ["-pix_fmt", "yuv420p10le", "-color_primaries", "bt2020", "-colorspace", "bt2020nc", "-color_trc"]


@dataclass(frozen=True)
class Change:
    """What a copy differs in.

    Attributes:
        kind: one of twelve, "mixed", "turn", "mirror", "enlarge", "codec" and "later".
        strength: 1, or 2 for more.
        filters: of the ffmpeg command; ``{x}``, ``{y}`` are random shares of the room for a crop.
        crf: of the copy.
        options: further ones of the encoder.
        start, length: shares of the clip that are kept; a start above 0 with length 1 reaches beyond its end.
    """

    kind: str
    strength: int
    filters: str = "null"
    crf: int = 24
    options: tuple[str, ...] = ()
    start: float = 0.0
    length: float = 1.0

    @property
    def name(self) -> str:
        return f"{self.kind}{self.strength}"


def _mark(text: str, share: float, alpha: float, place: str) -> str:
    return (
        f"drawtext=text='{text}':fontsize=h*{share}:fontcolor=white@{alpha}:borderw=2:bordercolor=black@{alpha}:{place}"
    )


def _two(kind: str, first: str, second: str) -> tuple[Change, Change]:
    """Both strengths of a kind that filters alone make."""
    return Change(kind, 1, first), Change(kind, 2, second)


CHANGES = (
    Change("encode", 1, crf=32),
    Change("encode", 2, crf=40),
    *_two("scale", "scale=trunc(iw/4)*2:-2", "scale=trunc(iw/8)*2:-2"),
    *_two("crop", "crop=iw*0.9:ih*0.9:iw*0.1*{x}:ih*0.1*{y}", "crop=iw*0.8:ih*0.8:iw*0.2*{x}:ih*0.2*{y}"),
    *_two("letterbox", "pad=iw:ih*1.33:0:(oh-ih)/2", "scale=trunc(iw*0.35)*2:-2,pad=iw*1.8:ih:(ow-iw)/2:0"),
    *_two(
        "mark",
        _mark("Channel 5", 0.09, 0.7, "x=w*0.75-tw/2:y=h*0.06"),
        "drawbox=x=iw*0.05:y=ih*0.72:w=iw*0.9:h=ih*0.2:color=navy@0.85:t=fill,"
        + _mark("Breaking news of today", 0.1, 1, "x=(w-tw)/2:y=h*0.77"),
    ),
    *_two(
        "colour", "eq=gamma=1.4:saturation=1.5:contrast=1.1", "hue=h=90:s=0.4,eq=gamma=0.6:contrast=1.4:brightness=0.05"
    ),
    *_two("speed", "setpts=PTS/1.1", "setpts=PTS/1.5"),
    *_two("rate", "fps=15", "fps=10"),
    Change("hdr", 1, _TO_PQ, options=(*_HDR, "smpte2084")),
    Change("hdr", 2, _TO_HLG, options=(*_HDR, "arib-std-b67")),
    Change("trim", 1, start=0.13, length=0.75),
    Change("trim", 2, start=0.4, length=0.5),
    Change("overlap", 1, start=0.3),
    Change("overlap", 2, start=0.45),
    Change("noise", 1, "gblur=sigma=2"),
    Change("noise", 2, "noise=alls=36:allf=t", crf=30),
    *_two("border", "pad=iw*1.1:ih*1.1:(ow-iw)/2:(oh-ih)/2:white", "pad=iw*1.25:ih*1.25:(ow-iw)/2:(oh-ih)/2:0x406080"),
    Change(
        "mixed", 1, "crop=iw*0.94:ih*0.94,scale=trunc(iw*0.3)*2:-2," + _mark("myTV", 0.08, 0.8, "x=w*0.06:y=h*0.06"), 32
    ),
    Change(
        "mixed",
        2,
        "setpts=PTS/1.25,crop=iw*0.88:ih*0.88,eq=gamma=1.3,scale=trunc(iw*0.25)*2:-2,pad=iw:ih*1.25:0:(oh-ih)/2",
        34,
    ),
)
TURNS = (
    Change("turn", 1, "transpose=clock"),
    Change("turn", 2, "transpose=cclock,scale=trunc(iw*0.35)*2:-2", 30),
    Change("turn", 3, "hflip,vflip"),
    Change("mirror", 1, "hflip"),
    Change("mirror", 2, "hflip,crop=iw*0.94:ih*0.94,scale=trunc(iw*0.35)*2:-2", 30),
)
"""Quarter and half turns, and mirrored copies; counted apart."""


def fixed_changes(name: str) -> tuple[Change, ...]:
    """The changes of a clip: the same for all."""
    return CHANGES + TURNS


def newest_changes(name: str) -> tuple[Change, ...]:
    """As `other_changes`, drawn again, and a copy that begins one to three frames later."""
    later = float(np.random.default_rng([137, *name.encode()]).integers(1, 4)) / 30
    return (
        *other_changes(name, seeds=(103, 109)),
        Change("later", 3, f"trim=start={later:.3f},setpts=PTS-STARTPTS", 28),
    )


def other_changes(name: str, seeds: tuple[int, int] = (83, 61)) -> tuple[Change, ...]:
    """As `drawn_changes`, drawn again, and three more: enlarged, and by two other encoders."""
    random = np.random.default_rng([seeds[0], *name.encode()])
    share = random.uniform(0.6, 1.1)
    method = ("bilinear", "bicubic", "lanczos")[int(random.integers(0, 3))]
    larger = f"scale=trunc(iw*{share:.3f})*2:-2:flags={method}"
    return (
        *drawn_changes(name, seed=seeds[1]),
        Change("enlarge", 3, larger, int(random.integers(16, 27))),
        Change(
            "codec", 3, crf=int(random.integers(26, 37)), options=("-c:v", "libx265", "-x265-params", "log-level=error")
        ),
        Change(
            "codec", 4, crf=int(random.integers(33, 46)), options=("-c:v", "libvpx-vp9", "-b:v", "0", "-cpu-used", "6")
        ),
    )


def drawn_changes(name: str, seed: int = 29) -> tuple[Change, ...]:
    """One change of each kind, whose strength is drawn by the name of the clip."""
    random = np.random.default_rng([seed, *name.encode()])

    def number(low: float, high: float) -> str:
        return f"{random.uniform(low, high):.3f}"

    def colour() -> str:
        return "0x" + "".join(f"{value:02x}" for value in random.integers(0, 256, 3))

    def scale(low: float, high: float) -> str:
        return f"scale=trunc(iw*{number(low / 2, high / 2)})*2:-2"

    def crop(least: float) -> str:
        wide, high = number(least, 0.96), number(least, 0.96)
        return f"crop=iw*{wide}:ih*{high}:iw*(1-{wide})*{{x}}:ih*(1-{high})*{{y}}"

    def crf(low: int, high: int) -> int:
        return int(random.integers(low, high + 1))

    tall = number(0.1, 0.22)
    top = "0.02" if random.integers(0, 2) else f"(0.98-{tall})"
    banner = f"drawbox=x=0:y=ih*{top}:w=iw:h=ih*{tall}:color={colour()}@{number(0.7, 1)}:t=fill," + _mark(
        "Live from the harbour", 0.07, 1, f"x=(w-tw)/2:y=h*({top}+0.02)"
    )
    word = _mark("Kanal 9", float(number(0.05, 0.14)), float(number(0.5, 1)), f"x=(w-tw)*{number(0, 1)}:y=h*0.04")
    bars = (f"pad=iw:ih*{number(1.12, 1.5)}:0:(oh-ih)/2", f"{scale(0.4, 0.9)},pad=iw*{number(1.2, 1.8)}:ih:(ow-iw)/2:0")
    light = f"eq=gamma={number(0.65, 1.5)}:contrast={number(0.8, 1.35)}:saturation={number(0.2, 1.7)}"
    grain = (f"gblur=sigma={number(0.8, 2.2)}", f"noise=alls={int(random.integers(12, 36))}:allf=t")
    border = number(1.05, 1.28)
    turns = ("transpose=clock", "transpose=cclock", "hflip,vflip")
    mirrors = ("hflip", "vflip", "transpose=clock_flip", "transpose=cclock_flip")
    hdr = ((_TO_PQ, "smpte2084"), (_TO_HLG, "arib-std-b67"))[int(random.integers(0, 2))]
    faster = float(number(0.75, 1.5))
    return (
        Change("encode", 3, crf=crf(29, 41)),
        Change("scale", 3, scale(0.22, 0.7)),
        Change("crop", 3, crop(0.78)),
        Change("letterbox", 3, bars[int(random.integers(0, 2))]),
        Change("mark", 3, word),
        Change("mark", 4, banner),
        Change("colour", 3, light),
        Change("speed", 3, f"setpts=PTS/{faster}"),
        Change("rate", 3, f"fps={int(random.integers(8, 19))}"),
        Change("hdr", 3, hdr[0], options=(*_HDR, hdr[1])),
        Change("trim", 3, start=float(number(0.05, 0.35)), length=float(number(0.45, 0.65))),
        Change("overlap", 3, start=float(number(0.2, 0.4))),
        Change("noise", 3, grain[int(random.integers(0, 2))], crf(24, 32)),
        Change("border", 3, f"pad=iw*{border}:ih*{border}:(ow-iw)/2:(oh-ih)/2:{colour()}"),
        Change("mixed", 3, f"{crop(0.86)},{light},{scale(0.3, 0.8)},{word}", crf(26, 36)),
        Change("turn", 4, turns[int(random.integers(0, 3))], crf(22, 32)),
        Change("mirror", 4, f"{mirrors[int(random.integers(0, 4))]},{scale(0.5, 1)}", crf(22, 32)),
    )
