"""What api, workers, CLI and UI say to each other: pydantic models and enums. Imports nothing of ours."""
