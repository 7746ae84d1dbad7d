"""HTTP: routes, bodies and the mapping of errors."""
