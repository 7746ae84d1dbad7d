"""Files for `accelerate launch`: each key is one that accelerate knows, and says what its comment says."""

from __future__ import annotations

import re
import shlex
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from accelerate.commands.config.config_args import ClusterConfig, load_config_from_file
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.utils import FullyShardedDataParallelPlugin
from accelerate.utils.launch import prepare_multi_gpu_env
from diffusers import FluxTransformer2DModel, QwenImageTransformer2DModel

from edit_rrm_training.editor.prepared import check_groups
from edit_rrm_training.editor.recipe import EditorRecipe, load_editor_recipe, override_of
from tests.training.editor.pipelines import tiny_flux

EXAMPLES = Path(__file__).parents[3] / "examples" / "editor"
FILES = sorted((EXAMPLES / "accelerate").glob("*.yaml"))
NAMES = [path.stem for path in FILES]


def known_arguments() -> set[str]:
    return {action.dest for action in launch_command_parser()._actions}


def unknown(config: ClusterConfig) -> set[str]:
    """accelerate's own loader looks at the outer keys only."""
    inner = {**config.fsdp_config, **config.deepspeed_config}
    return set(inner) - known_arguments()


def test_there_is_one_for_each_case() -> None:
    assert NAMES == ["ddp", "deepspeed", "fsdp", "two-nodes"]


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_accelerate_knows_every_key(path: Path) -> None:
    config = load_config_from_file(str(path))
    assert unknown(config) == set()
    assert config.mixed_precision == "bf16"
    assert config.num_processes == 8 * config.num_machines
    said = path.read_text(encoding="utf-8")
    assert f"--config_file examples/editor/accelerate/{path.name}" in said
    assert said.startswith("# ")


def test_a_wrong_key_is_found(tmp_path: Path) -> None:
    written = yaml.safe_load(FILES[NAMES.index("fsdp")].read_text(encoding="utf-8"))
    inner, outer = tmp_path / "inner.yaml", tmp_path / "outer.yaml"
    inner.write_text(yaml.safe_dump(written | {"fsdp_config": written["fsdp_config"] | {"fsdp_versions": 2}}))
    assert unknown(load_config_from_file(str(inner))) == {"fsdp_versions"}
    outer.write_text(yaml.safe_dump(written | {"machines": 2}))
    with pytest.raises(ValueError, match="machines"):
        load_config_from_file(str(outer))


COMMAND = re.compile(r"accelerate launch ((?:.|\n)*?)--out")


def documented() -> list[tuple[str, int, EditorRecipe]]:
    """Every command that an example says it is run by, its processes, and its recipe."""
    found = []
    for path in sorted(FILES + list(EXAMPLES.glob("*.yaml"))):
        comments = [line.removeprefix("#") for line in path.read_text(encoding="utf-8").splitlines() if line[:1] == "#"]
        for command in COMMAND.findall("\n".join(comments)):
            words = shlex.split(command.replace("\\\n", " "))
            options = list(pairwise(words))
            (config,) = (Path(value) for name, value in options if name == "--config")
            settings = dict(override_of(value) for name, value in options if name == "--set")
            files = [EXAMPLES / "accelerate" / Path(value).name for name, value in options if name == "--config_file"]
            counts = [load_config_from_file(str(file)).num_processes for file in files]
            counts += [int(value) for name, value in options if name == "--num_processes"]
            found.append((path.name, counts[0], load_editor_recipe(EXAMPLES / config.name, **settings)))
    return found


def test_every_command_in_an_example_can_share_its_groups() -> None:
    commands = documented()
    assert {name for name, _, _ in commands} >= {*(path.name for path in FILES), "flux-kontext.yaml"}
    assert 16 in [processes for _, processes, _ in commands]
    for _, processes, recipe in commands:
        check_groups(recipe, processes)


def launched(name: str, *options: str) -> tuple[Any, dict[str, str]]:
    """The launcher's arguments, and the environment that it gives its processes."""
    path = FILES[NAMES.index(name)]
    arguments: Any = launch_command_parser().parse_args(["--config_file", str(path), *options, "script"])
    arguments, _, _ = _validate_launch_command(arguments)
    found: dict[str, str] = prepare_multi_gpu_env(arguments)
    return arguments, found


def test_two_nodes_have_eight_processes_each() -> None:
    arguments, _ = launched("two-nodes", "--machine_rank", "1", "--main_process_ip", "10.0.0.1")
    assert (arguments.nnodes, arguments.nproc_per_node, str(arguments.node_rank)) == ("2", "8", "1")
    assert arguments.main_process_ip == "10.0.0.1"


def test_fsdp_shards_the_blocks_of_both_models(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in launched("fsdp")[1].items():
        if name.startswith("FSDP_"):
            monkeypatch.setenv(name, value)
    plugin = FullyShardedDataParallelPlugin()
    assert plugin.fsdp_version == 2
    assert plugin.reshard_after_forward is True
    assert plugin.cpu_ram_efficient_loading is False
    plugin.set_auto_wrap_policy(tiny_flux().transformer)
    assert set(plugin.transformer_cls_names_to_wrap) == {"FluxTransformerBlock", "FluxSingleTransformerBlock"}
    assert FluxTransformer2DModel._no_split_modules == ["FluxTransformerBlock", "FluxSingleTransformerBlock"]
    assert QwenImageTransformer2DModel._no_split_modules == ["QwenImageTransformerBlock"]
    # Why the file names none: a list of all of them would suit neither model.
    every = FullyShardedDataParallelPlugin(
        transformer_cls_names_to_wrap=[
            *FluxTransformer2DModel._no_split_modules,
            *QwenImageTransformer2DModel._no_split_modules,
        ]
    )
    with pytest.raises(ValueError, match="Could not find the transformer layer class QwenImageTransformerBlock"):
        every.set_auto_wrap_policy(tiny_flux().transformer)
