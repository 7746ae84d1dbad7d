"""Training and measuring judges."""
