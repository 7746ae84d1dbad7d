"""The readers: what each format means, and that a bad row costs that row alone."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from edit_rrm_client.images import encode_image
from edit_rrm_training.judge.pairs.grouping import assemble
from edit_rrm_training.judge.pairs.pair import Pair, Picture, Ranking, Reason, Rejected
from edit_rrm_training.judge.pairs.sources import DataSpec, open_source, parse_data
from edit_rrm_training.judge.pairs.sources.dataset import RowError
from edit_rrm_training.judge.pairs.sources.table import DataError
from edit_rrm_training.judge.pairs.sources.tiger import group_of, preference
from tests.training.pairs.datasets_on_disk import (
    BROKEN_IMAGE,
    NO_IMAGE,
    Row,
    cell,
    editscore_row,
    genai_row,
    own_row,
    png,
    tiger_row,
    write_arrow,
    write_jsonl,
    write_parquet,
)


def read(kind: str, path: Path, limit: int | None = None) -> list[Pair | Rejected]:
    source = open_source(DataSpec(kind, str(path)), limit)
    rows = list(source.rows())
    assert len(rows) == len(source)
    return rows


def pairs(rows: list[Pair | Rejected]) -> Iterator[Pair]:
    for row in rows:
        assert isinstance(row, Pair), row
        yield row


def colour(picture: Picture) -> Any:
    with Image.open(BytesIO(encode_image(picture.load()))) as image:
        return image.convert("RGB").getpixel((0, 0))


BLUE, GREEN, RED = (0, 0, 255), (0, 128, 0), (255, 0, 0)


def test_editscore_has_the_winner_first(tmp_path: Path) -> None:
    rows = [editscore_row(), editscore_row(dimension="consistency", task_type="ps_human")]
    one, two = pairs(read("editscore", write_arrow(tmp_path / "bench", rows)))
    assert (colour(one.source), colour(one.better), colour(one.worse)) == (RED, BLUE, GREEN)
    assert (one.instruction, one.category, one.dimension) == ("make it blue", "color_alter", "overall")
    assert (two.category, two.dimension, two.tied) == ("ps_human", "consistency", False)
    assert open_source(DataSpec("editscore", str(tmp_path / "bench"))).resize_edits


def test_an_edit_in_several_rows_of_editscore_is_asked_once(tmp_path: Path) -> None:
    rows = [editscore_row(dimension=name) for name in ("overall", "consistency", "prompt_following")]
    (group,) = assemble(read("editscore", write_arrow(tmp_path / "bench", rows))).groups
    assert (len(group.edits), len(group.comparisons)) == (2, 3)


@pytest.mark.parametrize(
    ("vote", "better", "tied"),
    [("leftvote", BLUE, False), ("rightvote", GREEN, False), ("tievote", BLUE, True), ("bothbad_vote", BLUE, True)],
)
def test_genai_votes(vote: str, better: Any, tied: bool, tmp_path: Path) -> None:
    (found,) = pairs(read("genai", write_parquet(tmp_path / "x.parquet", [genai_row(vote)])))
    assert (colour(found.better), found.tied, found.category) == (better, tied, None)


def test_genai_style_takes_the_names_of_its_relatives(tmp_path: Path) -> None:
    for name in ("red", "blue", "green"):
        (tmp_path / f"{name}.png").write_bytes(png(name))
    row = {
        "instruction": "make it blue",
        "source_img": "red.png",
        "left_image": "green.png",
        "right_image": {"path": "blue.png"},
        "vote_type": "rightvote",
        "category": "colour",
    }
    (found,) = pairs(read("genai", write_jsonl(tmp_path / "x.jsonl", [row])))
    assert (colour(found.source), colour(found.better), colour(found.worse)) == (RED, BLUE, GREEN)
    assert found.category == "colour"


def test_tiger_rankings_are_put_together_from_their_relations(tmp_path: Path) -> None:
    three = {"dataset": "3pair", "id": "xyz_1"}
    rows = [
        tiger_row(),
        tiger_row("blue", "green", "A>B", **three),
        tiger_row("blue", "black", "C>A", comparison_type="AvsC", **three),
        tiger_row("green", "black", "C>B", comparison_type="BvsC", **three),
    ]
    found = list(pairs(read("tiger", write_parquet(tmp_path / "x.parquet", rows))))
    assert [(colour(each.better), colour(each.worse)) for each in found] == [
        (BLUE, GREEN),
        (BLUE, GREEN),
        ((0, 0, 0), BLUE),
        ((0, 0, 0), GREEN),
    ]
    sizes = [each.ranking.size for each in found if each.ranking is not None]
    assert sizes == [2, 3, 3, 3]
    assert len({each.ranking for each in found}) == 2
    (group,) = assemble(found).groups
    assert len(group.edits) == 3, "each candidate once, although every one is in several rows"


@pytest.mark.parametrize(
    ("compared", "ranking", "better"),
    [
        ("AvsB", "A>B", 1),
        ("AvsB", "B>A", 2),
        ("AvsB", "A<B", 2),
        ("BvsD", "D>B", 2),
        ("BvsD", "B > D", 1),
        ("AvsB", "A=B", 0),
        ("AvsB", "A=B=Good", 0),
        ("AvsB", "A=B=Bad", 0),
    ],
)
def test_what_tigers_labels_mean(compared: str, ranking: str, better: int) -> None:
    assert preference(compared, ranking) == better


@pytest.mark.parametrize(("compared", "ranking"), [("AvsB", "A>C"), ("AvsB", "A>B>C"), ("", "A>B"), ("AvsB", "?")])
def test_labels_that_mean_nothing_are_not_guessed(compared: str, ranking: str) -> None:
    with pytest.raises(RowError) as caught:
        preference(compared, ranking)
    assert caught.value.reason is Reason.UNKNOWN_PREFERENCE


def test_tigers_ids() -> None:
    assert group_of("abc_0") == group_of("abc_2_x") == "abc"
    assert group_of("0123456789ab") == "0123456789"


def test_rankings_whose_ids_would_mix_stay_apart(tmp_path: Path) -> None:
    rows = [tiger_row(id="2pair_0"), tiger_row(id="2pair_1", source_image=cell("white"))]
    one, two = pairs(read("tiger", write_parquet(tmp_path / "x.parquet", rows)))
    assert one.ranking != two.ranking
    assert isinstance(one.ranking, Ranking)


BAD: list[tuple[str, Row, Reason]] = [
    ("editscore", editscore_row(input_image=None), Reason.MISSING_IMAGE),
    ("editscore", editscore_row(worse=NO_IMAGE), Reason.MISSING_IMAGE),
    ("editscore", editscore_row(better=BROKEN_IMAGE), Reason.UNREADABLE_IMAGE),
    ("editscore", editscore_row(instruction="  "), Reason.BAD_INSTRUCTION),
    ("editscore", editscore_row(instruction="x" * 4_001), Reason.BAD_INSTRUCTION),
    ("editscore", editscore_row(worse=cell("blue")), Reason.IDENTICAL_IMAGES),
    ("editscore", editscore_row(), Reason.DUPLICATE),
    ("tiger", tiger_row(source_image=NO_IMAGE), Reason.MISSING_IMAGE),
    ("tiger", tiger_row(candidate_2=BROKEN_IMAGE), Reason.UNREADABLE_IMAGE),
    ("tiger", tiger_row(ranking="A>C"), Reason.UNKNOWN_PREFERENCE),
    ("tiger", tiger_row(dataset="pair"), Reason.UNKNOWN_PREFERENCE),
    ("tiger", tiger_row(dataset=None), Reason.UNKNOWN_PREFERENCE),
    ("tiger", tiger_row("blue", "blue"), Reason.IDENTICAL_IMAGES),
    ("tiger", tiger_row(), Reason.DUPLICATE),
    ("genai", genai_row(left_output_image=None), Reason.MISSING_IMAGE),
    ("genai", genai_row(right_output_image=BROKEN_IMAGE), Reason.UNREADABLE_IMAGE),
    ("genai", genai_row("upvote"), Reason.UNKNOWN_PREFERENCE),
    ("genai", genai_row(None), Reason.UNKNOWN_PREFERENCE),  # type: ignore[arg-type]  # what a null cell gives
    ("genai", genai_row(instruct_prompt=None), Reason.BAD_INSTRUCTION),
    ("genai", genai_row(right_output_image=cell("blue")), Reason.IDENTICAL_IMAGES),
    ("genai", genai_row(), Reason.DUPLICATE),
    ("pairs", own_row(better=NO_IMAGE), Reason.MISSING_IMAGE),
    ("pairs", own_row(better=cell("green")), Reason.IDENTICAL_IMAGES),
    ("pairs", own_row(instruction=" "), Reason.BAD_INSTRUCTION),
    ("pairs", own_row(principles=[]), Reason.BAD_PRINCIPLES),
    ("pairs", own_row(principles=[{"question": "Is it blue?", "category": "beauty"}]), Reason.BAD_PRINCIPLES),
]
GOOD = {"editscore": editscore_row(), "tiger": tiger_row(), "genai": genai_row(), "pairs": own_row()}


@pytest.mark.parametrize(("kind", "bad", "reason"), BAD)
def test_a_bad_row_costs_that_row(kind: str, bad: Row, reason: Reason, tmp_path: Path) -> None:
    other = {"instruction": "else", "instruct_prompt": "else"}
    second = {**GOOD[kind], **{name: value for name, value in other.items() if name in GOOD[kind]}}
    found = assemble(read(kind, write_parquet(tmp_path / "x.parquet", [GOOD[kind], bad, second])))
    assert [(row.reason, row.row) for row in found.rejected] == [(reason, "row 1 of x.parquet")]
    assert sum(len(group.comparisons) for group in found.groups) == 2


@pytest.mark.parametrize(
    ("kind", "there", "back"),
    [
        ("editscore", editscore_row(), editscore_row(cell("green"), cell("blue"))),
        ("tiger", tiger_row(), tiger_row(ranking="B>A")),
        ("genai", genai_row("leftvote"), genai_row("rightvote")),
        ("genai", genai_row("leftvote"), genai_row("tievote")),
        ("pairs", own_row(), own_row(better=cell("green"), worse=cell("blue"))),
    ],
)
def test_contradictions_cost_both_rows(kind: str, there: Row, back: Row, tmp_path: Path) -> None:
    found = assemble(read(kind, write_parquet(tmp_path / "x.parquet", [there, back])))
    assert [row.reason for row in found.rejected] == [Reason.CONTRADICTORY] * 2


def test_one_picture_in_two_files_is_one_picture(tmp_path: Path) -> None:
    again, smaller = {"bytes": png("blue", kind="BMP"), "path": None}, cell("blue", (16, 64))
    assert again["bytes"] != cell("blue")["bytes"]
    rows = [editscore_row(worse=again), editscore_row(worse=smaller)]
    found = assemble(read("editscore", write_parquet(tmp_path / "x.parquet", rows)))
    assert [row.reason for row in found.rejected] == [Reason.IDENTICAL_IMAGES]


@pytest.mark.parametrize("path", ["nowhere.png", "../outside.png", "/etc/hostname", "sub/../../outside.png", ""])
def test_a_dataset_can_name_its_own_files_only(path: str, tmp_path: Path) -> None:
    """What is read is sent to a service, so a downloaded table must not choose files of this machine."""
    (tmp_path / "outside.png").write_bytes(png("green"))
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "blue.png").write_bytes(png("blue"))
    row = {**genai_row(), "source_image": "blue.png", "left_output_image": "blue.png", "right_output_image": path}
    (found,) = read("genai", write_jsonl(folder / "x.jsonl", [row]))
    assert isinstance(found, Rejected)
    assert found.reason is Reason.MISSING_IMAGE


@pytest.mark.parametrize("kind", ["editscore", "tiger", "genai", "pairs"])
def test_another_benchmarks_data_are_refused_with_both_lists_of_columns(kind: str, tmp_path: Path) -> None:
    other = {"editscore": tiger_row(), "tiger": genai_row(), "genai": editscore_row(), "pairs": genai_row()}[kind]
    path = write_parquet(tmp_path / "x.parquet", [other])
    with pytest.raises(DataError) as caught:
        open_source(DataSpec(kind, str(path)))
    told = str(caught.value)
    assert "has no column" in told
    assert f"it has {next(iter(other))}" in told


def test_shapes_are_pairs_of_one_source() -> None:
    rows = list(open_source(parse_data("shapes:held-out"), 30).rows())
    found = assemble(rows)
    assert (found.rows, len(found.groups), found.rejected) == (30, 30, ())
    assert all(each.category for each in pairs(rows))
    assert all(group.principles is None for group in found.groups)
    oracle = assemble(open_source(parse_data("shapes:held-out"), 3, oracle_principles=True).rows())
    assert all(group.principles for group in oracle.groups)
    assert oracle.fingerprint != assemble(rows[:3]).fingerprint
    assert len(open_source(parse_data("shapes:train"))) == 3_000


@pytest.mark.parametrize("text", ["shapes", "shapes:", ":x", "other:x", ""])
def test_data_that_are_none_name_those_there_are(text: str) -> None:
    with pytest.raises(ValueError, match="is none of shapes:SPLIT, editscore:PATH, tiger:PATH, genai:PATH, pairs:PATH"):
        parse_data(text)


def test_a_path_may_have_colons() -> None:
    assert parse_data("genai:C:/data") == DataSpec("genai", "C:/data")


def test_only_shapes_have_an_oracle(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="genai has no oracle"):
        open_source(DataSpec("genai", str(tmp_path)), oracle_principles=True)
    with pytest.raises(ValueError, match="no split 'test'"):
        open_source(DataSpec("shapes", "test"))


def test_pairs_of_ones_own_bring_their_principles_or_none(tmp_path: Path) -> None:
    with_principles, without = pairs(
        read("pairs", write_parquet(tmp_path / "x.parquet", [own_row(), own_row(instruction="other", principles=None)]))
    )
    assert with_principles.principles is not None
    assert [principle.question for principle in with_principles.principles] == ["Is it blue?"]
    assert without.principles is None
