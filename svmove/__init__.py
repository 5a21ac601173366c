"""svmove moves the disks of a QEMU/KVM guest to another libvirt storage pool, as it runs or while it is off."""

__version__ = "0.1.0"
