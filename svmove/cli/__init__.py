"""The command line: one file a command. It parses, calls, prints; `exits` has what exit codes mean."""
