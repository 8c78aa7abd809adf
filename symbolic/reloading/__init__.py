"""Rule sets changed while they are in use: what a change does, and versions that are proved before they are live."""
