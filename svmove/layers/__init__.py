"""The policy's layers: files, one over the other, and what they say checked, put together, and told with its origin."""
