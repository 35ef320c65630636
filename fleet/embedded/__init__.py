"""PostgreSQL and Redis for those who have none: found on the machine, or fetched as wheels, and run as children.

Nothing here imports Django: the servers have to stand before the settings are read.
"""
