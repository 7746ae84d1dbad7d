"""Commands of `edit-rrm`, one file each; `edit_rrm_training.cli` puts them in their groups."""
