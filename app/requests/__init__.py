"""What happens to every request: ids, limits, strict JSON, units of work, pages."""
