"""Implementations of the commands of `curator`; `curator_dagster.cli` declares their arguments."""
