"""The JSON Schema of `localist run --json`, version 1, generated from the value that is printed.

python -m scenarios.report.schema        writes it anew, after a change that raises the version
"""

from __future__ import annotations

import json
from pathlib import Path

from scenarios.report.summary import Summary

PATH = Path(__file__).with_name("summary.schema.json")


def schema_text() -> str:
    """The schema as it stands in `summary.schema.json`."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Summary.model_json_schema(mode="serialization"),
    }
    return json.dumps(schema, indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    PATH.write_text(schema_text())
