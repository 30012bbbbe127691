"""``referrals shops``."""
