"""Commands to vehicles, their diagnostics and settings, and the socket over which agents carry them out."""
