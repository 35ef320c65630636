"""Live streams: what was committed goes through Redis to one hub per process, and from there to its sockets."""
