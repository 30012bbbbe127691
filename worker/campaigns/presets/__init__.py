"""The exports of well-known tools: how they are recognised, which column is what, and what they tell about consent."""
