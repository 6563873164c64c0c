"""Draws the flow tables for `docs/flow.md`: a Mermaid chart and a table. PURE.

`python -m crowd.tasks.flowchart` prints what stands between the markers of that file; a test
keeps both equal.
"""

from crowd.policy import Stage
from crowd.tasks.flow import STAGES, TRANSITIONS, Effect, Move, Step

BEGIN = "<!-- drawn from crowd/tasks/flow.py: begin -->"
END = "<!-- drawn from crowd/tasks/flow.py: end -->"

_ENDS = {Effect.ACCEPT: "accepted", Effect.REFUSE: "refused", Effect.HOLD: "held"}


def drawing() -> str:
    """The chart and the two tables, as Markdown."""
    return "\n".join([*_chart(), "", *_stage_table(), "", *_transition_table()])


def _chart() -> list[str]:
    lines = ["```mermaid", "flowchart TD"]
    lines += [f"  {stage}[{_words(stage)}{' ×2' if row.seats == 2 else ''}]" for stage, row in STAGES.items()]
    lines += [f"  {end}(({end}))" for end in _ENDS.values()]
    edges = dict.fromkeys(
        _edge(step, move) for step, move in TRANSITIONS.items() if move.effect is not Effect.WAIT
    )
    return [*lines, *(f"  {edge}" for edge in edges), "```"]


def _edge(step: Step, move: Move) -> str:
    stage, cause, outcome = step
    label = f"{_words(cause)}: {outcome}" if cause else str(outcome)
    if move.effect in _ENDS:
        return f"{stage} -->|{label}| {_ENDS[move.effect]}"
    if move.effect in (Effect.BOUNCE, Effect.BOUNCE_OR_HOLD):
        return f"{stage} -.->|{label}| {_bounce_node(stage)}"
    if move.effect is Effect.SECOND_OPINION:
        return f"{stage} -.->|{label}| {Stage.SEGMENTATION}"
    if move.effect is Effect.ADJUDICATE:
        return f"{stage} -->|{label}| {Stage.ADJUDICATION}"
    if move.effect is Effect.OPEN_NEXT:
        return f"{stage} -->|{label}| next[the stage after the disputed one]"
    return f"{stage} -->|{label}| {move.stage}"


def _bounce_node(stage: Stage) -> str:
    return f"bounce_{stage}[/the blamed stage, in a new round/]"


def _stage_table() -> list[str]:
    rows = [
        f"| {_words(stage)} | {row.seats} | {'labels' if row.labels else 'reviews'} |"
        for stage, row in STAGES.items()
    ]
    return ["| stage | seats that open at once | people |", "|---|---|---|", *rows]


def _transition_table() -> list[str]:
    rows = [
        f"| {_words(stage)} | {_words(cause) if cause else '–'} | {outcome} | {_effect(move)} |"
        for (stage, cause, outcome), move in TRANSITIONS.items()
    ]
    return ["| at | opened because of | answer judged as | then |", "|---|---|---|---|", *rows]


def _effect(move: Move) -> str:
    what = move.stage or move.cause
    return f"{_words(move.effect)} ({_words(what)})" if what else _words(move.effect)


def _words(name: str) -> str:
    return str(name).replace("_", " ")


if __name__ == "__main__":
    print(f"{BEGIN}\n{drawing()}\n{END}")
