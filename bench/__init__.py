"""What a move costs, measured on the lab: `make bench`."""
