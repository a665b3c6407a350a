"""Exhibits of one version of a table, for an asset's page: contact sheets of clips and histograms of scores.

In: a table's reference and commit number, and the bytes that pictures may take. Out: encoded pictures with their lines
of text. The module that decodes and encodes pictures is imported at the first call.
"""

from stages.pictures.exhibit import SVG, WEBP, Budget, Exhibit, Picture, exhibits
from stages.pictures.stored import stored_stills

__all__ = ["SVG", "WEBP", "Budget", "Exhibit", "Picture", "exhibits", "stored_stills"]
