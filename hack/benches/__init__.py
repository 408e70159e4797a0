"""Measurements of corepoint itself, one module each: `run(arguments)` measures, prints, and says whether bars held."""
