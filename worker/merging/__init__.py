"""From results back to the export that they came from, and to files that the tools' importers take."""
