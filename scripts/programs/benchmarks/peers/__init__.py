"""What ``scripts/bench peers`` races against: one program each, as its tool's guide would have it written."""
