"""Dashboards as a TypeScript program that compiles only where they keep to Grafana's schema."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tests.deploy.series import ROOT

HOME = ROOT / "build" / "tools" / "grafana-schema"
_KINDS = {"timeseries": "TimeSeries", "stat": "Stat", "heatmap": "Heatmap"}
# JSON has an enumeration's values where the schema has its members.
_JSON = (
    "type Json<T> = T extends string ? `${T}` : T extends (infer U)[] ? Json<U>[]"
    " : T extends object ? { [K in keyof T]: Json<T[K]> } : T;"
)


def program(boards: Mapping[str, Mapping[str, Any]]) -> str:
    """A constant a dashboard and, as the schema leaves those open there, one for each panel's options and style."""
    raw = "./node_modules/@grafana/schema/dist/esm/raw"
    lines = [f"import type {{ Dashboard }} from '{raw}/dashboard/x/dashboard_types.gen';"]
    lines += [
        f"import type * as {kind} from '{raw}/composable/{folder}/panelcfg/x/{kind}PanelCfg_types.gen';"
        for folder, kind in _KINDS.items()
    ]
    lines.append(_JSON)
    for name, board in boards.items():
        identifier = name.replace("-", "_")
        lines.append(f"export const {identifier}: Json<Dashboard> = {json.dumps(board)};")
        for panel in board["panels"]:
            if panel["type"] == "row":
                continue
            kind, constant = _KINDS[panel["type"]], f"{identifier}_{panel['id']}"
            lines.append(f"export const {constant}_options: Json<{kind}.Options> = {json.dumps(panel['options'])};")
            custom = panel["fieldConfig"]["defaults"].get("custom")
            if custom is not None:
                lines.append(f"export const {constant}_custom: Json<{kind}.FieldConfig> = {json.dumps(custom)};")
    return "\n".join(lines) + "\n"
