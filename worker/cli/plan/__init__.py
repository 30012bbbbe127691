"""``referrals plan``, and the plan that ``publish`` and ``run`` show before they send."""
