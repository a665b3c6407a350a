"""What the commands of `curator` do, once their parameters are read."""
