"""corepoint's control plane: the only package that knows the database."""
