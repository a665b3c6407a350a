"""Writing partitions of `dataset` again after dedup decided otherwise: stale partitions and their sensor."""
