"""Engine, unit of work, models and migrations. Nothing outside `app` may import it."""
