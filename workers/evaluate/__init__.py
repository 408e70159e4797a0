"""Is it the same result, and what is it like? Certificates and plain figures of a clustering."""
