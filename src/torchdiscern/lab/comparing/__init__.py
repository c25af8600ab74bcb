"""Arms compared: planned, tuned, trained and measured under the same seeds, then judged."""
