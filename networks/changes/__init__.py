"""Content that one side of a pair shows and the other does not: a small network of ours."""
