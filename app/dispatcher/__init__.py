"""Brings the world to what the rows say: one handler per kind of work, one file per reconciler."""
