"""Edit-RRM as the reward of trainers that exist: each module speaks one of them, and imports none."""
