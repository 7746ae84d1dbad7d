"""The page where people look at judgements (extra `ui`); it asks the service as anybody would, over HTTP."""
