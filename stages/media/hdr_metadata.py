"""Static metadata of HDR: the mastering display (SMPTE ST 2086) and the content's light levels (CTA-861.3)."""

from typing import Any

import av
import numpy as np
from av.sidedata.sidedata import SideDataContainer, Type

_CHROMATICITY_UNITS, _LUMINANCE_UNITS = 50_000, 10_000
"""In 1, as HEVC counts them."""


def x265_hdr_parameters(frame: av.VideoFrame) -> str:
    """Options for x265 that repeat the frame's metadata, each with a colon before it; empty where it has none."""
    # frame.side_data would make a reference cycle, see `Orientation.of`.
    found: Any = SideDataContainer(frame)  # type: ignore[call-arg] - stub
    display, light = found.get(Type.MASTERING_DISPLAY_METADATA), found.get(Type.CONTENT_LIGHT_LEVEL)
    parameters = ""
    if display is not None:
        # struct AVMasteringDisplayMetadata: 10 rationals (red, green, blue, white as x and y; least and most light),
        # then whether each kind is there.
        numbers = np.frombuffer(display, np.int32)
        values = numbers[0:20:2] / np.maximum(numbers[1:20:2], 1)
        if numbers[20] and numbers[21]:
            red, green, blue, white = np.rint(values[:8] * _CHROMATICITY_UNITS).astype(int).reshape(4, 2).tolist()
            least, most = np.rint(values[8:] * _LUMINANCE_UNITS).astype(int).tolist()
            points = "".join(
                f"{name}({x},{y})"
                for name, (x, y) in zip(("G", "B", "R", "WP"), (green, blue, red, white), strict=True)
            )
            parameters += f":master-display={points}L({most},{least})"
    if light is not None:
        most, average = np.frombuffer(light, np.uint32)[:2].tolist()
        parameters += f":max-cll={most},{average}"
    return parameters
