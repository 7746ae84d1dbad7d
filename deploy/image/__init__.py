"""Builds the images and tries the one that needs no GPU: `python -m deploy.image`."""
