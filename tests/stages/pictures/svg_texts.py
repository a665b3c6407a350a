"""What an SVG says."""

import xml.etree.ElementTree as ElementTree


def texts(svg: bytes) -> list[str]:
    """The texts of an SVG, in order."""
    return [element.text or "" for element in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]
