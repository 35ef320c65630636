"""The way in: one ASGI route that authenticates, bounds, decodes and commits batches, then answers."""
