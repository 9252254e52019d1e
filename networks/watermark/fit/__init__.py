"""How the network of marks was trained: `python -m networks.watermark.fit --help`.

1. `sources` reads the photos and fonts of the Debian packages that packages.json lists with their
   hashes; neither is in the repository, and none is of what measurements are made on.
2. `writing` draws texts and signs, `marks` makes marks of them, `scenery` what only looks like one.
3. `scenes` makes crops with and without marks. 4. `train` fits. 5. `calibrate` makes a probability.
"""
