"""Rewards a second: the service against what a user would run in its place, on one machine, in turns."""
