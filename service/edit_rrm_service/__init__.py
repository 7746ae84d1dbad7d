"""The service: a judge behind HTTP."""
