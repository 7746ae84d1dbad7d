"""Rules that watch the service, their tests, and the pinning of a judge's baseline."""
