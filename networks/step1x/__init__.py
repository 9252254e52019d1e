"""Step1X-Edit and RealRestorer: diffusers' FLUX transformer, a connector, the published layouts.

Sources: Step1X-Edit (arXiv 2504.17761) and RealRestorer (arXiv 2603.25502), and their released
inference code.
"""
