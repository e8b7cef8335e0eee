"""Bytes in, documents out: functions of their arguments, without I/O, clock, threads or metrics.

decode -> assemble -> enrich -> route -> encode is the reference path; `splice` is the fast path
for blocks of ordinary docker lines; `chain` chooses between them, in one place.
"""
