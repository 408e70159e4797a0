"""corepoint's data plane: everything that touches points. Runs in worker pods; usable as a plain library."""
