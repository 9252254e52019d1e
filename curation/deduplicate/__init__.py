"""Which images are one, and which are the benchmark's: verdicts only; `assemble` removes."""
