#!/bin/bash
# testpmd on uio_pci_generic, started by flatiommu run without CAP_SYS_ADMIN, is killed while it forwards a flood of packets:
# nothing but the answers of pagemap pins its memory and stops its card.
. "${0%/*}/lib.sh"
. "${0%/*}/peers.sh"

driver=uio_pci_generic
# No function: the process ID in the background would be that of a shell.
testpmd=(setpriv "--inh-caps=-all,+sys_rawio,+ipc_lock" "--bounding-set=-all,+sys_rawio,+ipc_lock" flatiommu run -- dpdk-testpmd)
. "${0%/*}/kill.sh"
