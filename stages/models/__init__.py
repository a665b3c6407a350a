"""Networks and what wraps them, loaded in the worker."""
