"""JSON Schema -> nodes: for each value what it may be."""
