"""The worked examples of docs/guard.md run as they stand there, against a local server where they speak to one."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import json
import re
import runpy
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from symbolic import FaultKind, Rung

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "docs" / "examples"


@pytest.fixture(autouse=True)
def _beside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Examples import each other by name, as scripts of one folder do."""
    monkeypatch.syspath_prepend(str(EXAMPLES))


def example(name: str) -> dict[str, Any]:
    """What an example defines."""
    return runpy.run_path(str(EXAMPLES / f"{name}.py"))


class Model(BaseHTTPRequestHandler):
    """Stands in for a model: says what it is told to say, in the shape of chat completions."""

    said: list[Any] = []  # noqa: RUF012 - one server a test
    heard: list[dict[str, Any]] = []  # noqa: RUF012

    def do_POST(self) -> None:
        """Answer one request."""
        self.heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        arguments = self.said.pop(0)
        call = {"id": "c1", "type": "function", "function": {"name": "drive", "arguments": arguments}}
        message = {"role": "assistant", "content": None, "tool_calls": [call]} if arguments is not None else {}
        body = json.dumps({"choices": [{"message": message}]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


@pytest.fixture
def model() -> Iterator[tuple[str, type[Model]]]:
    handler = type("Told", (Model,), {"said": [], "heard": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/v1", handler
        server.shutdown()
        thread.join()


def test_plain_function_is_guarded(capsys: pytest.CaptureFixture[str]) -> None:
    found = example("plain_function")
    done = found["drive"](found["Car"](gap_m=12.5, light="red"))
    assert (done.action.manoeuvre, done.rung, done.is_compliant) == ("slow", Rung.ASKED, True)


def test_tool_call_is_guarded_and_refusals_go_back_as_tool_messages(model: tuple[str, type[Model]]) -> None:
    url, told = model
    told.said += ['{"manoeuvre":"go"}', '{"manoeuvre":"slow"}']
    found = example("tool_call")
    done = found["drive"](found["Driver"](url, "stand-in"), found["Car"](gap_m=12.5, light="red"))
    assert (done.action.manoeuvre, done.rung) == ("slow", Rung.ASKED)
    assert told.heard[1]["messages"][-1] == {
        "role": "tool",
        "tool_call_id": "c1",
        "content": "Refused.\n"
        "R1: Forbidden when light is red and manoeuvre is go. Here light is red and manoeuvre is go.\n"
        "The nearest allowed action has manoeuvre slow instead of go.\n"
        "Allowed here: manoeuvre stop; manoeuvre slow.",
    }


@pytest.mark.parametrize("arguments", ["go", '{"manoeuvre":"fly"}', '{"manoeuvre":"go","x":1}', None], ids=str)
def test_tool_call_that_is_none_ends_in_a_compliant_action(arguments: Any, model: tuple[str, type[Model]]) -> None:
    url, told = model
    told.said += [arguments] * 3
    found = example("tool_call")
    done = found["drive"](found["Driver"](url, "stand-in"), found["Car"](gap_m=3.0, light="green"))
    assert (done.action.manoeuvre, done.is_compliant) == ("stop", True)


def test_tool_call_to_a_server_that_is_not_there_ends_in_a_compliant_action() -> None:
    found = example("tool_call")
    done = found["drive"](found["Driver"]("http://127.0.0.1:9/v1", "stand-in"), found["Car"](gap_m=3.0, light="green"))
    assert (done.action.manoeuvre, [fault.kind for fault in done.faults]) == ("stop", [FaultKind.PROPOSER_FAILED])


async def planner(state: dict[str, Any]) -> dict[str, Any]:
    return {"proposal": {"manoeuvre": "slow" if "R1" in state["feedback"] else "go"}}


def test_graph_node_is_guarded() -> None:
    node = example("graph_node")["guarded"](planner)
    assert asyncio.run(node({"car": {"gap_m": 12.5, "light": "red"}})) == {
        "action": {"manoeuvre": "slow"},
        "rung": "asked",
    }


@pytest.mark.skipif(importlib.util.find_spec("langgraph") is None, reason="langgraph is not installed")
def test_graph_node_runs_in_a_real_graph() -> None:
    made, found = importlib.import_module("langgraph.graph"), importlib.import_module("graph_node")
    graph = made.StateGraph(found.Trip)
    graph.add_node("drive", found.guarded(planner))
    graph.add_edge(made.START, "drive")
    graph.add_edge("drive", made.END)
    done = asyncio.run(graph.compile().ainvoke({"car": {"gap_m": 12.5, "light": "red"}}))
    assert (done["action"], done["rung"]) == ({"manoeuvre": "slow"}, "asked")


def test_examples_stand_in_the_guide_as_they_are() -> None:
    guide = (ROOT / "docs" / "guard.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", guide, re.DOTALL)
    for name in ("plain_function", "tool_call", "graph_node"):
        assert f"(examples/{name}.py)" in guide
    for block in blocks:
        exec(compile(block, "docs/guard.md", "exec", dont_inherit=True), {"__name__": "guide"})
