"""What runs the service and what watches it; nothing here is installed with the package."""
