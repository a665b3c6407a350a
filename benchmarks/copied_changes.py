"""What copies of the benchmark differ in: twelve kinds of change, in two strengths, and mixtures."""

from dataclasses import dataclass

_TAGGED = "format=yuv420p,setparams=range=tv:color_primaries=bt709:color_trc=bt709:colorspace=bt709,"
_TO_PQ = _TAGGED + "zscale=t=linear:npl=203,format=gbrpf32le,zscale=p=bt2020:t=smpte2084:m=bt2020nc:r=tv"
_TO_HLG = _TAGGED + "zscale=t=linear:npl=203,format=gbrpf32le,zscale=p=bt2020:t=arib-std-b67:m=bt2020nc:r=tv"
_HDR = ["-pix_fmt", "yuv420p10le", "-color_primaries", "bt2020", "-colorspace", "bt2020nc", "-color_trc"]


@dataclass(frozen=True)
class Change:
    """What a copy differs in.

    Attributes:
        kind: one of twelve, and "mixed".
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
