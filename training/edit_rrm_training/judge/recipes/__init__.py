"""Recipes: YAML files that say what a training run does."""

from __future__ import annotations

from dataclasses import fields
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import TypeAdapter, ValidationError

from edit_rrm_training.judge.gcpo_recipe import GcpoRecipe
from edit_rrm_training.judge.seeing import SeeingRecipe
from edit_rrm_training.judge.sft import SftRecipe
from edit_rrm_training.judge.vlm_sft_recipe import VlmSftRecipe

RecipeT = TypeVar("RecipeT", SftRecipe, VlmSftRecipe, GcpoRecipe)


def recipe_names() -> tuple[str, ...]:
    """Names of the recipes that ship with the package."""
    return tuple(
        sorted(item.name.removesuffix(".yaml") for item in files(__name__).iterdir() if item.name.endswith(".yaml"))
    )


def load_recipe(name: str, kind: type[RecipeT], **overrides: Any) -> RecipeT:
    """Read a recipe by name, or from a YAML file.

    Args:
        name: A recipe that ships with the package, or the path of a file.
        kind: What it is a recipe of.
        overrides: Fields to set whatever the file says.

    Raises:
        ValueError: There is no such recipe or file, or a field is none of the kind's or not what it should be; the
            message says which.
    """
    path = Path(name)
    if name in recipe_names():
        text = files(__name__).joinpath(f"{name}.yaml").read_text(encoding="utf-8")
    elif path.is_file():
        text = path.read_text(encoding="utf-8")
    else:
        raise ValueError(f"no recipe {name!r}: it is neither a file nor one of {', '.join(recipe_names())}")
    try:
        values = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise ValueError(f"recipe {name!r} is not YAML: {' '.join(str(error).split())}") from None
    _check_fields(name, values, kind)
    if values.get("seeing") is not None:
        _check_fields(f"{name}: seeing", values["seeing"], SeeingRecipe)
    try:
        return TypeAdapter(kind).validate_python({**values, **overrides})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        reason = first["msg"].removeprefix("Value error, ")
        raise ValueError(f"recipe {name!r}: {f'{where}: ' if where else ''}{reason}") from None


def _check_fields(name: str, values: Any, recipe: type[SftRecipe | VlmSftRecipe | GcpoRecipe | SeeingRecipe]) -> None:
    known = {field.name for field in fields(recipe)}
    if not isinstance(values, dict):
        raise ValueError(f"recipe {name!r} is no mapping of fields to values")
    if unknown := sorted(str(key) for key in set(values) - known):
        raise ValueError(f"recipe {name!r}: unknown fields {unknown}; there are: {', '.join(sorted(known))}")
