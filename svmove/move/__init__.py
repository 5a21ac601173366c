"""The life of a move: phases, the loop that walks them, and the acts of each."""
