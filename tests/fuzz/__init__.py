"""Every place where bytes from outside are read, under any bytes at all.

A target is one such boundary as a function of bytes. It asserts what the boundary promises of whatever comes: only our
own errors, in one line, with no address and no secret in them; what is taken can be written and read again. The tests
here run each target for a second over its corpus and over inputs made from it, always the same. ``scripts/bench fuzz``
runs them for minutes under a fuzzer that is led by what the code has not done yet, and keeps the corpus.
"""
