"""``referrals replay``."""
