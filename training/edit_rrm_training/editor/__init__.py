"""Editing models, trained by GRPO on the rewards of a service."""
