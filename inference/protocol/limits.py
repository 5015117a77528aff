"""How much of anything a request may hold."""

from __future__ import annotations

MAX_FRAME = 64 * 2**20
MAX_MESSAGES = 1000
MAX_STOPS = 16
MAX_BIASES = 300
MAX_TOOLS = 128
MAX_CALLS = 128
MAX_IMAGES = 16
MAX_SAMPLES = 16
MAX_TOP_LOGPROBS = 20
MAX_TEXTS = 2048
LONGEST_SCHEMA = 65_536
