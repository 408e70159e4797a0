"""The command line: speaks to the public API, prints data on stdout and everything else on stderr."""
