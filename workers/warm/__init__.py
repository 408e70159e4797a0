"""Flow runs that start at once: a spare interpreter has everything imported and forks a process for each of them."""
