"""The shops: what the shops file says about each, and the credentials of their calls."""
