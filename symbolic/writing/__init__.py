"""Rules as text: grammar, parser, layout."""
