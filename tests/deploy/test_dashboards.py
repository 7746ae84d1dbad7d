"""Dashboards: the committed JSON is what the code makes, and every panel can be read and asks for what exists."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.grafana import pictures
from deploy.grafana.__main__ import FOLDER, dashboards, main
from tests.deploy.grafana_schema import HOME, program
from tests.deploy.series import ROOT, unknown

FILES = sorted(FOLDER.glob("*.json"))
BOARDS: dict[str, dict[str, Any]] = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in FILES}
PANELS = [(name, panel) for name, board in BOARDS.items() for panel in board["panels"] if panel["type"] != "row"]
every_board = pytest.mark.parametrize("name", BOARDS)
every_panel = pytest.mark.parametrize(
    ("board", "panel"), PANELS, ids=[f"{name}-{one['title']}" for name, one in PANELS]
)
PROMTOOL = next(
    (found for found in (shutil.which(str(ROOT / "build/tools/promtool")), shutil.which("promtool")) if found), None
)

NODE = shutil.which("node")
needs_schema = pytest.mark.skipif(
    NODE is None or not (HOME / "node_modules").is_dir(),
    reason="Grafana's schema is not in build/tools: python deploy/tools/fetch_monitoring.py",
)


def expressions() -> list[str]:
    """Every panel's, with the variables as `All` has them."""
    choices = {"$namespace": ".*", "$model": ".*", "$caller": ".*", "$__rate_interval": "1m"}
    found = []
    for _, panel in PANELS:
        for target in panel["targets"]:
            expression = target["expr"]
            for variable, value in choices.items():
                expression = expression.replace(variable, value)
            found.append(expression)
    return found


def test_the_committed_json_is_what_the_code_makes() -> None:
    assert set(dashboards()) == {path.stem for path in FILES}
    assert main(["--check"]) == 0, "run python -m deploy.grafana"


def test_a_dashboard_that_was_edited_by_hand_is_found(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["--out", str(tmp_path)]) == 0
    assert main(["--check", "--out", str(tmp_path)]) == 0
    edited = tmp_path / "judge.json"
    text = edited.read_text(encoding="utf-8").replace("Mean score", "Average score")
    edited.write_text(text, encoding="utf-8")
    capsys.readouterr()
    assert main(["--check", "--out", str(tmp_path)]) == 1
    assert capsys.readouterr().out == "judge.json\n"
    assert edited.read_text(encoding="utf-8") == text


@every_board
def test_a_dashboard_lets_choose_source_namespace_and_model(name: str) -> None:
    board = BOARDS[name]
    variables = {one["name"]: one for one in board["templating"]["list"]}
    assert list(variables) == ["datasource", "namespace", "model", *(["caller"] if name == "trainer-run" else [])]
    assert variables["datasource"]["type"] == "datasource"
    assert all(one["label"] and one["description"] for one in variables.values())
    for one in list(variables)[1:]:
        query = variables[one]["query"]["query"]
        assert not unknown(query)
        assert re.fullmatch(r"label_values\((.+), (\w+)\)", query)
        assert not unknown(re.sub(r"label_values\(([\w:]+).*, (\w+)\)", r'\1{\2=""}', query))
        assert variables[one]["multi"]
        assert variables[one]["includeAll"]


def test_dashboards_are_told_apart() -> None:
    assert len({board["uid"] for board in BOARDS.values()}) == len({board["title"] for board in BOARDS.values()}) == 4
    assert all(board["description"] for board in BOARDS.values())


@every_board
def test_panels_lie_side_by_side(name: str) -> None:
    places = [panel["gridPos"] for panel in BOARDS[name]["panels"]]
    assert all(place["w"] > 0 and place["h"] > 0 and place["x"] + place["w"] <= 24 for place in places)
    for one, other in combinations(places, 2):
        apart = (
            one["x"] + one["w"] <= other["x"]
            or other["x"] + other["w"] <= one["x"]
            or one["y"] + one["h"] <= other["y"]
            or other["y"] + other["h"] <= one["y"]
        )
        assert apart, (one, other)


@every_board
def test_panels_have_numbers_and_titles_of_their_own(name: str) -> None:
    panels = BOARDS[name]["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    curves = [panel["title"] for panel in panels if panel["type"] not in ("row", "stat")]
    assert len(set(curves)) == len(curves)


@every_panel
def test_a_panel_says_what_it_is_in_what_unit_and_names_its_series(board: str, panel: dict[str, Any]) -> None:
    assert len(panel["description"]) > 20
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["targets"]
    assert all(target["legendFormat"] for target in panel["targets"])
    if panel["type"] == "timeseries":
        assert panel["options"]["legend"]["showLegend"]


@every_panel
def test_a_legend_names_labels_that_the_expression_keeps(board: str, panel: dict[str, Any]) -> None:
    for target in panel["targets"]:
        grouped = {label for by in re.findall(r"by \(([^)]*)\)", target["expr"]) for label in by.split(", ")}
        assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= grouped


@every_panel
def test_a_panel_asks_only_for_series_and_labels_that_exist(board: str, panel: dict[str, Any]) -> None:
    for target in panel["targets"]:
        assert unknown(target["expr"]) == []


@every_panel
def test_a_panel_asks_the_chosen_source_for_the_chosen_namespace(board: str, panel: dict[str, Any]) -> None:
    for part in (panel, *panel["targets"]):
        assert part["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    for target in panel["targets"]:
        assert '{namespace=~"$namespace"' in target["expr"]
        assert len(re.findall(r"\{(?!\{)", target["expr"])) == target["expr"].count('namespace=~"$namespace"')


def test_grafana_finds_source_and_dashboards() -> None:
    provisioning = ROOT / "deploy" / "grafana" / "provisioning"
    [source] = yaml.safe_load((provisioning / "datasources" / "prometheus.yaml").read_text("utf-8"))["datasources"]
    [provider] = yaml.safe_load((provisioning / "dashboards" / "edit-rrm.yaml").read_text("utf-8"))["providers"]
    assert source["type"] == "prometheus"
    assert source["isDefault"]
    assert provider["type"] == "file"


def test_panels_that_the_runbook_sends_to_are_there() -> None:
    text = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
    titles = {panel["title"] for board in BOARDS.values() for panel in board["panels"]}
    looks = re.findall(r"\*\*Look\.\*\* (.*?)\n\n", text, re.DOTALL)
    named = {name for look in looks for name in re.findall(r'(?<![=~])"([A-Z][^"]*)"', look.replace("\n", " "))}
    assert len(named) > 8
    assert {name for name in named if name.strip("?,.") not in titles} == set()
    assert set(re.findall(r"results/dashboards/([\w-]+)\.svg", text)) == set(BOARDS)


@pytest.mark.parametrize("source", FILES, ids=lambda path: path.stem)
def test_a_dashboards_picture_was_drawn_from_it(source: Path) -> None:
    picture = (pictures.FOLDER / f"{source.stem}.svg").read_text(encoding="utf-8")
    digest = pictures.source_digest(source.read_text(encoding="utf-8"))
    assert f"sha256:{digest}" in picture, "run python -m deploy.grafana.pictures"


def test_a_picture_has_every_panel(tmp_path: Path) -> None:
    for source in FILES:
        target = tmp_path / f"{source.stem}.svg"
        pictures.write(source, target)
        drawn = target.read_text(encoding="utf-8")
        again = tmp_path / "again.svg"
        pictures.write(source, again)
        assert again.read_text(encoding="utf-8") == drawn
        for panel in BOARDS[source.stem]["panels"]:
            assert panel["title"].split()[0] in drawn


@pytest.mark.deploy
@pytest.mark.skipif(
    PROMTOOL is None,
    reason="promtool is neither in build/tools nor on the PATH: python deploy/tools/fetch_monitoring.py",
)
def test_promtool_can_read_every_expression(tmp_path: Path) -> None:
    rules = [{"record": f"panel:{index}", "expr": one} for index, one in enumerate(expressions())]
    path = tmp_path / "panels.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}), encoding="utf-8")
    assert PROMTOOL is not None
    result = subprocess.run([PROMTOOL, "check", "rules", str(path)], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert f"{len(rules)} rules found" in result.stdout


@pytest.fixture
def typescript(tmp_path: Path) -> Path:
    """A folder beside which the compiler finds Grafana's schema."""
    (tmp_path / "node_modules").symlink_to(HOME / "node_modules")
    return tmp_path


def compiled(folder: Path, boards: dict[str, dict[str, Any]]) -> str:
    """What the compiler has to say; nothing where all is well."""
    (folder / "check.ts").write_text(program(boards), encoding="utf-8")
    compiler = [NODE or "", str(HOME / "node_modules" / "typescript" / "bin" / "tsc")]
    options = ["--noEmit", "--strict", "--skipLibCheck", "--module", "esnext", "--moduleResolution", "bundler"]
    result = subprocess.run([*compiler, *options, "check.ts"], cwd=folder, capture_output=True, text=True, check=False)
    assert (result.returncode == 0) == (not result.stdout)
    return result.stdout


@pytest.mark.deploy
@needs_schema
def test_dashboards_keep_to_grafanas_schema(typescript: Path) -> None:
    assert compiled(typescript, BOARDS) == ""


@pytest.mark.deploy
@needs_schema
def test_what_grafana_does_not_know_is_found(typescript: Path) -> None:
    board = json.loads(json.dumps(BOARDS["judge"]))
    del board["schemaVersion"]
    panels = [panel for panel in board["panels"] if panel["type"] == "timeseries"]
    panels[0]["options"]["legend"]["placement"] = "left"
    panels[1]["fieldConfig"]["defaults"]["custom"]["lineWeight"] = 1
    found = compiled(typescript, {"judge": board})
    assert "schemaVersion" in found
    assert '"left"' in found
    assert "lineWeight" in found
