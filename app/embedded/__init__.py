"""corepoint on one machine: the same parts on small back ends, in one process group (docs/architecture)."""
