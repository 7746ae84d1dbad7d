"""What makes a site of docs/: hooks for MkDocs, pages made from the code, and a check of the result."""
