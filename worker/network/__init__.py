"""What every connection has in common: TLS, and where it may do without."""
