"""Video curation as tables of rows: the processing half, which knows video, models and Ray, and never Dagster."""
