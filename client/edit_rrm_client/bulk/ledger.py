"""Who has which row: the parts of a run laid over each other, and merged in the input's order."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from edit_rrm_client.bulk.results import MAY_PASS
from edit_rrm_client.bulk.run_folder import FACTS_KEY
from edit_rrm_client.durable import settle

_NOBODY = -1
_GROUP_ROWS = 4_096
_GROUP_BYTES = 64 * 2**20
_BATCH_ROWS = 256


@dataclass(frozen=True)
class Ledger:
    """Five bytes a row: where its result is, and whether that may be another the next time."""

    layers: tuple[Path, ...]
    owner: npt.NDArray[np.int32]
    """Index of the layer that has the row, shape (rows,); -1 where none has."""
    may_pass: npt.NDArray[np.bool_]
    """Which rows ended in an outcome of `results.MAY_PASS`, shape (rows,)."""

    @classmethod
    def read(cls, layers: Sequence[Path], rows: int) -> Ledger:
        """Look through parts.

        Args:
            layers: Parquet files with the output's columns; of a row that is in several, the last one counts.
            rows: Of the whole input.
        """
        owner = np.full(rows, _NOBODY, np.int32)
        may_pass = np.zeros(rows, np.bool_)
        passing = pa.array(sorted(outcome.value for outcome in MAY_PASS))
        for index, layer in enumerate(layers):
            with pq.ParquetFile(layer) as file:
                for batch in file.iter_batches(columns=["row", "outcome"]):
                    places = batch["row"].to_numpy()
                    owner[places] = index
                    may_pass[places] = pc.is_in(batch["outcome"], passing).to_numpy(zero_copy_only=False)
        return cls(tuple(layers), owner, may_pass)

    def pending(self, retry_failed: bool) -> npt.NDArray[np.bool_]:
        """Rows to score, shape (rows,).

        Args:
            retry_failed: Whether those are among them whose failure may pass.
        """
        missing: npt.NDArray[np.bool_] = self.owner == _NOBODY
        return np.logical_or(missing, self.may_pass) if retry_failed else missing

    def tables(self) -> Iterator[pa.Table]:
        """Every row once, in order; nearly nothing is held.

        Raises:
            ValueError: A row is nobody's.
        """
        if (self.owner == _NOBODY).any():
            raise ValueError(f"row {int(np.argmax(self.owner == _NOBODY))} has no result")
        ends = np.append(np.flatnonzero(np.diff(self.owner)) + 1, len(self.owner))
        open_layers: dict[int, Iterator[pa.Table]] = {}
        rest: dict[int, pa.Table | None] = {}
        begin = 0
        for end in ends if len(self.owner) else ():
            layer = int(self.owner[begin])
            rows = open_layers.setdefault(layer, self._rows_of(layer))
            while begin < end:
                table = rest.pop(layer, None)
                if table is None:
                    table = next(rows)
                taken = table.slice(0, int(end) - begin)
                yield taken
                begin += len(taken)
                if len(taken) < len(table):
                    rest[layer] = table.slice(len(taken))

    def merge(self, output: Path, schema: pa.Schema, facts: Mapping[str, Any]) -> None:
        """Write the output: whole, or as it was before.

        Args:
            output: The file.
            schema: Its columns.
            facts: What was asked, for its metadata.
        """
        unfinished = output.with_name(output.name + ".partial")
        told = schema.with_metadata({FACTS_KEY: json.dumps(dict(facts)).encode()})
        with pq.ParquetWriter(unfinished, told, compression="zstd") as writer:
            held: list[pa.Table] = []
            for table in self.tables():
                held.append(table.select(schema.names).cast(schema))
                if sum(map(len, held)) >= _GROUP_ROWS or sum(one.nbytes for one in held) >= _GROUP_BYTES:
                    writer.write_table(pa.concat_tables(held))
                    held = []
            if held:
                writer.write_table(pa.concat_tables(held))
        settle(unfinished, output)

    def _rows_of(self, layer: int) -> Iterator[pa.Table]:
        """Rows of a layer that no later one has, in order."""
        with pq.ParquetFile(self.layers[layer], buffer_size=1 << 20, pre_buffer=False) as file:
            for batch in file.iter_batches(_BATCH_ROWS):
                mine = self.owner[batch["row"].to_numpy()] == layer
                if mine.any():
                    yield pa.Table.from_batches([batch]).filter(pa.array(mine))
