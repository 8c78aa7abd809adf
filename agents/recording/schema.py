"""The JSON Schema of a trace line, generated from the events.

Write it again after a change of the events: `python -m agents.recording.schema`.
"""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import JsonValue

from agents.recording.events import FORMAT_NAME, SCHEMA_VERSION, Record

SCHEMA_PATH = Path(__file__).with_name("trace.schema.json")


def trace_schema() -> dict[str, JsonValue]:
    """JSON Schema (draft 2020-12) of one line of a trace."""
    schema = Record.model_json_schema(mode="serialization")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": f"{FORMAT_NAME} record, schema version {SCHEMA_VERSION}",
    }


def schema_text() -> str:
    """The schema file's text."""
    return json.dumps(trace_schema(), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    SCHEMA_PATH.write_text(schema_text(), encoding="utf-8")
