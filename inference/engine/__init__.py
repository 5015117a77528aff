"""The engine: the process that holds models and answers requests over a unix socket.

Knows nothing of Django, of users, of aliases and of HTTP; imports only ``inference.protocol`` and
``inference.errors`` of the rest of HugWeb. Run as ``python -m inference.engine``.
"""
