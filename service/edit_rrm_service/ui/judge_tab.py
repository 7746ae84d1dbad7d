"""The tab *Judge*: a source, edits of it, an instruction; and what the judge says of them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import gradio as gr

from edit_rrm.principles import Principle
from edit_rrm.verdicts import Aggregation, ErrorDetail, Mode
from edit_rrm_service.ui.asking import Question, UnansweredError, judged
from edit_rrm_service.ui.desk import Desk, chosen, chosen_html, key_from, public_url, shown, shown_html
from edit_rrm_service.ui.examples import EXAMPLES, Example
from edit_rrm_service.ui.judgement_html import judgement, trouble
from edit_rrm_service.ui.principle_lines import PrincipleLineError, principle_lines, read_principles
from edit_rrm_service.ui.snippets import as_client_code, as_curl

_logger = logging.getLogger(__name__)

BUG: Final = ErrorDetail(code="page_error", message="the page has a bug, which the service's log has; please report it")
MODES: Final = [("think: reason, then a score", Mode.THINK.value), ("probe: a probability each", Mode.PROBE.value)]
_AGGREGATIONS: Final = [("as the mode has it", ""), *((one.value, one.value) for one in Aggregation)]
_WAITING: Final = '<p class="rrm-told" role="status">The judge looks at it.</p>'
_EMPTY: Final = '<p class="rrm-told">Nothing has been judged yet: choose an example, or pictures of your own.</p>'


def judge_tab(desk: Desk) -> None:
    """Build the tab, inside of `gr.Blocks`."""
    shown_html('<p class="rrm-told">Examples, which the shipped judge can judge:</p>')
    with gr.Row():
        buttons = [gr.Button(example.instruction, size="sm", min_width=200) for example in EXAMPLES]
    with gr.Row():
        with gr.Column(scale=1, min_width=320):
            source = gr.File(label="Source image", file_count="single", height=110, elem_id="rrm-source")
            source_shown = shown_html()
            edits = gr.File(
                label="Edited images, one or several", file_count="multiple", height=110, elem_id="rrm-edits"
            )
            edits_shown = shown_html()
            instruction = gr.Textbox(
                label="Instruction",
                placeholder="make the red star blue",
                lines=1,
                max_lines=4,
                elem_id="rrm-instruction",
            )
            mode = gr.Radio(MODES, value=Mode.THINK.value, label="How to verify", elem_id="rrm-mode")
            with gr.Accordion("Principles, samples and aggregation", open=False):
                principles = gr.Textbox(
                    label="Principles, one a line (empty: the judge writes its own)",
                    placeholder="follow: Is the star blue?\nkeep: Is everything else as it was?\nquality: Is it sharp?",
                    lines=4,
                    elem_id="rrm-principles",
                )
                samples = gr.Slider(1, 16, value=1, step=1, label="Samples to average (think)")
                aggregation = gr.Dropdown(_AGGREGATIONS, value="", label="Aggregation")
            with gr.Row():
                judge = gr.Button("Judge", variant="primary", elem_id="rrm-judge")
                stop = gr.Button("Stop", elem_id="rrm-stop")
        with gr.Column(scale=2, min_width=320):
            result = shown_html(_EMPTY, elem_id="rrm-result")
            edit_principles = gr.Button(
                "Edit these principles", size="sm", visible=False, elem_id="rrm-edit-principles"
            )
            with gr.Accordion("The same request elsewhere", open=False, visible=False) as elsewhere:
                curl = gr.Code(label="curl", language="shell", interactive=False, elem_id="rrm-curl")
                code = gr.Code(label="Python", language="python", interactive=False, elem_id="rrm-code")
    last = gr.State("")

    async def look(paths: Any) -> str:
        return await chosen_html(paths, desk.limits)

    async def run(
        request: gr.Request,
        source_path: str | None,
        edit_paths: Sequence[str] | None,
        said: str | None,
        how: str,
        lines: str | None,
        repeats: float,
        aggregated: str | None,
    ) -> AsyncIterator[dict[Any, Any]]:
        hidden = gr.update(visible=False)
        yield {result: _WAITING, edit_principles: hidden, elsewhere: hidden}
        try:
            question = await asyncio.to_thread(
                asked, source_path, edit_paths, said, how, lines, int(repeats), aggregated
            )
            reply = await judged(desk.here, question, key_from(request))
        except (NothingToJudgeError, PrincipleLineError) as error:
            yield {result: trouble(ErrorDetail(code="not sent", message=str(error)))}
            return
        except UnansweredError as error:
            yield {result: trouble(error.detail)}
            return
        except Exception:
            # A person would wait for ever in front of a page that says that it is being judged.
            _logger.exception("the page failed")
            yield {result: trouble(BUG)}
            return
        pictures = await shown([question.source.data, *(image.data for image in question.edited)], desk.limits)
        names = [image.name for image in question.edited]
        url = public_url(request)
        yield {
            result: judgement(question.instruction, reply, names, pictures[0], pictures[1:]),
            last: principle_lines(reply.principles or ()),
            edit_principles: gr.update(visible=bool(reply.principles)),
            elsewhere: gr.update(visible=True),
            curl: as_curl(question, url, key=desk.wants_key),
            code: as_client_code(question, url, key=desk.wants_key),
        }

    inputs = [source, edits, instruction, mode, principles, samples, aggregation]
    outputs = [result, last, edit_principles, elsewhere, curl, code]
    options: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    source.change(look, source, source_shown, **options)
    edits.change(look, edits, edits_shown, **options)
    judging = [gr.on([judge.click, instruction.submit], run, inputs, outputs, trigger_mode="once", **options)]
    for button, example in zip(buttons, EXAMPLES, strict=True):
        filled = button.click(_filler(example), None, [source, edits, instruction, principles], **options)
        judging += [filled, filled.then(run, inputs, outputs, **options)]
    stop.click(lambda: _EMPTY, None, result, cancels=judging, **options)
    edit_principles.click(lambda lines: lines, last, principles, **options)


class NothingToJudgeError(ValueError):
    """Something is missing that a person has to add; the message says what."""


def asked(
    source: str | None,
    edits: Sequence[str] | None,
    instruction: str | None,
    mode: str,
    lines: str | None = None,
    samples: int = 1,
    aggregation: str | None = None,
) -> Question:
    """What a person has filled in, as a question. Blocking: reads the files.

    Raises:
        NothingToJudgeError: A picture or the instruction is missing.
        PrincipleLineError: A line of the principles is none.
    """
    if source is None:
        raise NothingToJudgeError("there is no source image yet; choose the picture that was edited")
    if not edits:
        raise NothingToJudgeError("there is no edited image yet; choose one or several edits of the source")
    if not instruction or not instruction.strip():
        raise NothingToJudgeError("there is no instruction yet; write what the edit was meant to do")
    principles: tuple[Principle, ...] | None = read_principles(lines or "")
    return Question(
        instruction.strip(),
        chosen(source),
        tuple(map(chosen, edits)),
        Mode(mode),
        Aggregation(aggregation) if aggregation else None,
        samples,
        principles,
    )


def _filler(example: Example) -> Any:
    def fill() -> tuple[str, list[str], str, str]:
        return str(example.source), [str(path) for path in example.edited], example.instruction, ""

    return fill
