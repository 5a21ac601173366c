"""svmove moves the disks of a running QEMU/KVM guest from one libvirt storage pool to another."""

__version__ = "0.1.0"
