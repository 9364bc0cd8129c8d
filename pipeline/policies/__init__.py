"""How calibrated qualities and expected costs become a decision, and how a policy's settings are chosen in train."""
