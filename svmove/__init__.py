"""svmove moves the disks of a QEMU/KVM guest from one libvirt storage pool to another, as it runs or while it is off."""

__version__ = "0.1.0"
