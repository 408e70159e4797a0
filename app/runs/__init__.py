"""Runs, their batches and trials: reads, cancel, and every change of state."""
