"""``referrals dead``."""
