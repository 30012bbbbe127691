"""The group ``referrals campaigns``."""
