"""Load for a service, as trainers make it, and what came of it: `edit-rrm bench`."""
