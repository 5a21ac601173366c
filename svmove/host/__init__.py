"""The only room that runs a command or opens a file on the hypervisor's host."""
