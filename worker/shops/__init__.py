"""The shops: what the shops file says of each, and what its calls are authorised with."""
