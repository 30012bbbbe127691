"""Results in PostgreSQL: the schema ``referrals``, which is made and migrated here, written to and read from."""
