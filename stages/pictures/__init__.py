"""What people look at on an asset's page: contact sheets, histograms and single frames of one version of a table.

In: a table's reference and version, and how many bytes pictures may take. Out: encoded pictures with their lines of
text. Composing them decodes JPEGs, so it is imported at the first call.
"""

from stages.pictures.gallery import SVG, WEBP, Budget, Exhibit, Picture, exhibits

__all__ = ["SVG", "WEBP", "Budget", "Exhibit", "Picture", "exhibits"]
