"""The answer of a run: comparison, report, tidy results."""
