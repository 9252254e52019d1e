"""How the embedder's weights are made: `python -m networks.embedders.fit --debs DIR --work DIR`.

`packages.json` names Debian packages whose licences allow it, each with its SHA-256, so that the
training pictures are known to the byte. `pictures` unpacks them and cuts squares, `views` makes two
differing views of a square, `train` pulls the views of one square together and all others apart
and, beside that, teaches the text side the nine degradations.
"""
