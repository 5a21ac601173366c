"""What people and programs look at. Reads records and events, decides nothing."""
