"""What all connections have in common: TLS, where a connection may do without it, and how hosts are written."""
