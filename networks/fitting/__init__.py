"""What the scripts share that train the package's own small networks."""
