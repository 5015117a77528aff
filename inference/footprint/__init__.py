"""What a model takes in memory, told from its files before a byte of its weights is loaded.

Its configuration and the headers of its files (``files``) say how many numbers of which kind there are
(``anatomy``); how the engine holds them says the rest (``estimate``). The engine checks loads by it, the web
lists by it what fits. Knows nothing of torch, Django, and how much memory there is.
"""
