"""LangGraph with its SQLite checkpointer: a graph of three nodes, a thread for each input."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, TypedDict

from tests.benchmarks.durable.contender import Contender, Work
from tests.benchmarks.durable.steps import NAMES, increment


class State(TypedDict):
    value: int


def node(state: State) -> State:
    return {"value": increment(state["value"])}


@contextmanager
def opened(folder: Path) -> Iterator[Work]:
    graph: Any = import_module("langgraph.graph")
    saver: Any = import_module("langgraph.checkpoint.sqlite").SqliteSaver
    builder = graph.StateGraph(State)
    for name in NAMES:
        builder.add_node(name, node)
    for before, after in zip((graph.START, *NAMES), (*NAMES, graph.END), strict=True):
        builder.add_edge(before, after)
    with saver.from_conn_string(str(folder / "checkpoints.db")) as checkpointer:
        app = builder.compile(checkpointer=checkpointer)

        def work(count: int, first: int) -> None:
            for value in range(first, first + count):
                thread = {"configurable": {"thread_id": str(value)}}
                assert app.invoke({"value": value}, thread)["value"] == value + 3

        yield work


VARIANTS = {"LangGraph, SQLite": Contender(opened, 100, "finished steps")}
