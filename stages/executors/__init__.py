"""Executors, which run a pipeline in this process or on a pool of Ray actors."""
