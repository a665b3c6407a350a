"""One HTML page for people without Dagster: what became of every video, and clips to look at."""
