"""What tests, demo and benchmarks share: real databases, sidecars and operators, started and always cleaned up.

Only the standard library and Debian's command-line tools are used here, so that the demo needs nothing else.
"""
