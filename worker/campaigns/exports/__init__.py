"""The formats that an export comes in, read as one stream of records."""
