"""Datasets and the uploads they are made of."""
