"""The tools: one async method each, their arguments and their refusals."""
