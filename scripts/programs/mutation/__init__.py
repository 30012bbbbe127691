"""Small mutations of the core, and which of them the tests notice."""
