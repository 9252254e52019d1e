"""The model registry in MLflow: candidates, champion, previous, and the record of each decision.

`register.register_candidate` -> `gating.gate_version` -> a person -> `decisions.approve` or
`decisions.reject`; `decisions.rollback` goes back. Importing a module of this package imports
MLflow (some seconds), so the command line does it only when called.
"""
