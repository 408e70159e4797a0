"""Samples in fresh children: fork server, limits, memory, evidence, interleaved rounds."""
