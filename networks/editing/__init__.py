"""Large editing models behind one interface: encoders, the network that learns, a Restorer."""
