"""The catalogue of algorithms."""
