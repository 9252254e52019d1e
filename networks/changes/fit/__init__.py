"""How the weights were made: `python -m networks.changes.fit --help`.

The photos are those of `networks.judges.proxy.fit` (packages of Debian and PyPI); every fourth is
held out. None of the images that measurements are made on is used.
"""
