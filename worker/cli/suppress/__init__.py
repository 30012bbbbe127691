"""``referrals suppress``: addresses that nobody may be called for."""
