"""A small web on 127.0.0.1, made from photos that installed packages ship.

It stands in for the open web in the demo and the tests: real HTTP, degraded photos, copies of many
kinds, and what a collector meets of faults and traps. Nothing of it is downloaded, and the same
seed gives the same bytes.
"""
