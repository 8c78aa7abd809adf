"""Reports: what people and scripts read of a run, as functions of the recorded trace alone."""
