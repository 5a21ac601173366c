"""The only room that imports libvirt. No virDomain and no libvirtError leaves it."""
