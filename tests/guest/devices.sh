# shellcheck shell=bash
# The devices of the machine that tests/vm/machine describes.
export NVME=0000:00:04.0
export NIC=0000:00:05.0
export EDU=0000:00:06.0
export TESTDEV=0000:00:07.0
# an nvme behind a root port, and its two VFs, which sriov_numvfs creates
export SRIOV_PF=0000:01:00.0 SRIOV_VF0=0000:01:00.1 SRIOV_VF1=0000:01:00.2
# two functions of one slot, which a reset of the bus resets together: nvme and edu
export SLOT=0000:00:09.0 FN0=0000:02:00.0 FN1=0000:02:00.1
# hot-plug ports: an empty one (its QEMU id is hot0), and one with an nvme (hot1; the device's id is hotdev)
export HOT_EMPTY=0000:00:0a.0 HOT_EMPTY_DEV=0000:03:00.0
export HOT=0000:00:0b.0 HOT_DEV=0000:04:00.0
export BRIDGE=0000:00:08.0
# BAR 2 is memory of the host
export SHM=0000:00:0c.0
# of the machine big: a file system of the host, with the tag share
export SHARE=0000:00:13.0
# of the machine peers: the peer of NIC, and two cards of two more kinds, wired back to back
export NIC_PEER=0000:00:0d.0
export VIRTIO=0000:00:0e.0 VIRTIO_PEER=0000:00:0f.0
export VMXNET3=0000:00:10.0 VMXNET3_PEER=0000:00:11.0
