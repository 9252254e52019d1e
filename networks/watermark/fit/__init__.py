"""How the network of marks was trained: `python -m networks.watermark.fit --help`.

1. `sources` reads the photos and fonts of the Debian packages that packages.json lists with their
   hashes; neither is in the repository, and none is of what measurements are made on.
2. `marks` draws. 3. `scenes` makes crops with and without marks. 4. `train` fits.
"""
