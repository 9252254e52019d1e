"""Collection: from URLs, folders and archives to a snapshot of shards below data/raw.

`curation.collect.run.collect` is the whole of it; curation/collect/README.md says how it works.
"""
