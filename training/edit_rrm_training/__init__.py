"""Training of judges, and the synthetic world where what they learn can be checked."""
