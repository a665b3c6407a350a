"""Pictures of a table for people: thumbnails out of the frame store, histograms as SVG. Decodes no video."""
