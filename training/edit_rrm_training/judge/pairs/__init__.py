"""Pairwise accuracy of a judge: which of two edits does it score higher, and do people agree?

`sources` read benchmarks into `pair.Pair`; `grouping` drops what cannot be judged and puts the edits of one source and
instruction together; `run` asks a service about every group; `report` counts.
"""
