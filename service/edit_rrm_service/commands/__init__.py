"""Commands of `edit-rrm` that ask a service, through the client as any user does."""
