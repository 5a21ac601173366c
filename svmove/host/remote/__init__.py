"""Another host, over one SSH connection: nothing is installed there, and nothing is left.

The host room itself runs there. Its source goes through the connection to a Python that keeps it in memory (`ship`,
`agent`); here each call of `svmove.ports_host.Host` becomes a message (`host`, `wire`). So there is one implementation
of a lock, a shared extent or a comparison, wherever the hypervisor is. docs/decisions/0019-remote.md.
"""
