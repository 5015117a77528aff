"""Measures HugWeb and its peers on the same weights, one after the other in one run.

Figures belong to the machine, ratios within a run do not: so each server is started here, with the same
number of threads, and asked the same questions by the same client.
"""
