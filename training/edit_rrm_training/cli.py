"""The `edit-rrm data`, `train`, `eval` and `plot` groups of commands; each command has its file in `commands/`."""

from __future__ import annotations

import typer

from edit_rrm_training.commands.cold_start import cold_start_command
from edit_rrm_training.commands.editor import (
    edit_command,
    eval_editor_command,
    train_editor_command,
    train_nano_editor_command,
)
from edit_rrm_training.commands.merge import merge_command
from edit_rrm_training.commands.pairs import eval_pairs
from edit_rrm_training.commands.plot import plot_editor_command
from edit_rrm_training.commands.shapes import data_shapes
from edit_rrm_training.commands.train import train_gcpo_command, train_sft_command
from edit_rrm_training.commands.verdicts import eval_verdicts

data_app = typer.Typer(help="Make data: the shapes world, SFT sets.", no_args_is_help=True, rich_markup_mode=None)
data_app.command("shapes")(data_shapes)
data_app.command("cold-start")(cold_start_command)

train_app = typer.Typer(help="Train judges and editors.", no_args_is_help=True, rich_markup_mode=None)
train_app.command("sft")(train_sft_command)
train_app.command("gcpo")(train_gcpo_command)
train_app.command("editor")(train_editor_command)
train_app.command("nano-editor")(train_nano_editor_command)

eval_app = typer.Typer(help="Measure judges and editors.", no_args_is_help=True, rich_markup_mode=None)
eval_app.command("verdicts")(eval_verdicts)
eval_app.command("pairs")(eval_pairs)
eval_app.command("editor")(eval_editor_command)

plot_app = typer.Typer(help="Draw how training went.", no_args_is_help=True, rich_markup_mode=None)
plot_app.command("editor")(plot_editor_command)
# Without it, typer takes an app of one command for that command.
plot_app.callback()(lambda: None)

__all__ = ["data_app", "edit_command", "eval_app", "merge_command", "plot_app", "train_app"]
