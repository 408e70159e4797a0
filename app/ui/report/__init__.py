"""One self-contained HTML page that answers a run's three questions with evidence."""
