"""What single pieces of the stack cost, as ratios within one run: `make bench`."""
