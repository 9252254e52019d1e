"""How proxy-judge was trained: `python -m networks.judges.proxy.fit --help`.

1. `photos.json` lists the photos, by Debian or PyPI package, with their hashes; none is in the
   repository, and none is of the images that measurements are made on. 2. `samples` degrades them.
3. `heads` measures the samples and fits the heads. 4. `ladder` measures single degradations of
known severity. 5. `packed` makes the photos small enough to be carried to a GPU, `train` trains the
network there on `scenes`, of which `pool` keeps the last, `glass` trains that of reflections on a
CPU, and `said` asks both of the photos that were kept from them. 6. `within` fits the severity
within a degradation. Judging does not import this package.
"""
