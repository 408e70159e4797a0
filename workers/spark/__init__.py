"""The distributed DBSCAN program and what starts it."""
