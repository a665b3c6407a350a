"""The HTML report for people without Dagster: counts of every phase, and a gallery of clips."""
