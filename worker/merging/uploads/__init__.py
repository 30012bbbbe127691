"""Files for the importers of marketing tools: one identifier and one link a row, as each tool takes them first time."""
