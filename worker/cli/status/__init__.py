"""``referrals status``."""
