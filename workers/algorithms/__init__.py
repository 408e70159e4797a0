"""The registry of algorithms and one file per adapter. Light to import: heavy libraries are imported inside `fit`."""
