"""Prefect flows: they compose steps of `workers` and hold no logic of their own."""
