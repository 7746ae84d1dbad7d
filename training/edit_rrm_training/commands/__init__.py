"""Commands of `edit-rrm` that fill a file of their own; `edit_rrm_training.cli` puts them in their groups."""
