"""Texts from outside: bounded before they are read, masked and made visible before they are shown."""
