"""Compiled operations for decoding on CPUs, in C: what is called once for each layer and token.

``step.c`` fuses what lies between linear layers, ``quantized.c`` multiplies by weights in 8 and 4
bits. They take a third to a half of the time of torch's own, and are optional.
"""
