"""What of a pipeline's steps is no longer as it was when an input went through them. Pure.

What is known of then is the code recorded with a payload or an output: step names, in order, with fingerprints.
A step that was renamed is found by its aliases; one without a fingerprint counts as there and unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import msgspec

from pipeline import codec
from pipeline.compose import Pipeline
from pipeline.model import Completed

Code: TypeAlias = Mapping[str, str | None]


class Changes(msgspec.Struct, frozen=True):
    """Names of steps by what became of them; ``gone`` has the names of then, the others those of now.

    ``rewritten`` went through and has other code now, ``new`` was not gone through, ``moved`` has another place.
    """

    rewritten: tuple[str, ...] = ()
    new: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    moved: tuple[str, ...] = ()

    @property
    def steps(self) -> tuple[str, ...]:
        """All of them."""
        return (*self.rewritten, *self.new, *self.gone, *self.moved)

    @property
    def of_code(self) -> str:
        """What is told of those that have other code."""
        return f"the code of {_listed(self.rewritten)} changed"

    def __str__(self) -> str:
        told = (
            (self.of_code, self.rewritten),
            (f"{are(self.new)} new here, and did not run", self.new),
            (f"{are(self.gone)} gone", self.gone),
            (f"{_listed(self.moved)} moved", self.moved),
        )
        return "; ".join(text for text, steps in told if steps)


NONE = Changes()

NOT_ITS_OUTPUT = (
    "the output that it has is not one of these steps; to run it from the first step, choose on_code_change='restart'; "
    "if this is another pipeline, give its processor a name of its own; "
    "if a step was renamed, keep its old name: step('new', aliases=('old',))"
)
"""Why a success is not kept, with the cure."""


def since_done(pipeline: Pipeline[Any, Any, Any], earlier: Code, code: Callable[[], Code]) -> Changes:
    """What changed since an output was made by the steps of ``earlier``; nothing, where that is empty."""
    if not earlier or is_same(earlier, code()):
        return NONE
    return _changes(pipeline, len(pipeline), earlier, tuple(earlier), code())


def since_stopped(pipeline: Pipeline[Any, Any, Any], index: int, earlier: Code, code: Callable[[], Code]) -> Changes:
    """What changed before step ``index`` since an input stopped at it.

    Where the step is not in ``earlier``, that is no whole pipeline: it tells what it has of code, and nothing of order.
    """
    if not earlier or is_same(earlier, code()):
        return NONE
    names = tuple(earlier)
    at = next((place for place, name in enumerate(names) if pipeline.find(name) == index), None)
    changes = _changes(pipeline, index, earlier, names[:at], code())
    return changes if at is not None else Changes(changes.rewritten)


def begins_with(pipeline: Pipeline[Any, Any, Any], earlier: Code) -> int | None:
    """How many steps there were in ``earlier`` if the pipeline begins with them; all, where nothing is known."""
    if not earlier:
        return len(pipeline)
    return len(earlier) if [*map(pipeline.find, earlier)] == [*range(len(earlier))] else None


def is_same(one: Code, other: Code) -> bool:
    """Whether both are of the same steps, in the same order."""
    return one == other and [*one] == [*other]


def are(names: tuple[str, ...]) -> str:
    """Steps as the beginning of a sentence."""
    return f"step {_listed(names)} is" if len(names) == 1 else f"steps {_listed(names)} are"


def output_type(pipeline: Pipeline[Any, Any, Any], earlier: Code) -> Any:
    """What the last of the steps that made an output declares that it gives; ``Any`` where other steps made it."""
    place = begins_with(pipeline, earlier)
    return pipeline[place - 1].output_type if place else Any


def is_of_others(pipeline: Pipeline[Any, Any, Any], earlier: Code) -> bool:
    """Whether other steps made an output, so that nothing is known of its type."""
    return not begins_with(pipeline, earlier)


def typed_output(pipeline: Pipeline[Any, Any, Any], done: Completed[Any], registry: codec.Registry | None) -> Any:
    """An output as what made it declares; ``CodecError`` where plain JSON does not fit that."""
    if not done.plain:  # it never left memory, or was read by that type
        return done.output
    return codec.conform(done.output, output_type(pipeline, done.code), registry=registry)


def to_store(
    pipeline: Pipeline[Any, Any, Any], done: Completed[Any], registry: codec.Registry | None
) -> tuple[Any, Any]:
    """An output, and the type to write it by: of none, where it does not fit what is declared, and will be refused."""
    try:
        return typed_output(pipeline, done, registry), output_type(pipeline, done.code)
    except codec.CodecError:
        return done.output, Any


def _changes(pipeline: Pipeline[Any, Any, Any], end: int, earlier: Code, finished: Sequence[str], now: Code) -> Changes:
    names = pipeline.names
    then: dict[int, str] = {}
    gone, later = list[str](), list[int]()
    for name in finished:
        place = pipeline.find(name)
        if place is None or place in then:
            gone.append(name)
        elif place >= end:
            later.append(place)
        else:
            then[place] = name
    pairs = [(names[place], earlier[then[place]], now.get(names[place])) for place in sorted(then)]
    return Changes(
        rewritten=tuple(name for name, before, after in pairs if None not in (before, after) and before != after),
        new=tuple(name for place, name in enumerate(names[:end]) if place not in then),
        gone=tuple(gone),
        moved=tuple(names[place] for place, sought in zip(then, sorted(then), strict=True) if place != sought)
        + tuple(names[place] for place in later),
    )


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(map(repr, names))
