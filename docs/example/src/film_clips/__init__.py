"""A Dagster project that curates videos; all that it says of them stands in defs/films/defs.yaml."""
