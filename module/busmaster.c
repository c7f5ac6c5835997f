// SPDX-License-Identifier: GPL-2.0-only
/* Bus mastering of a function, without the help of its driver. */
#include <linux/pci.h>

#include "compat.h"
#include "flatiommu.h"

/*
 * Can the function's config space be read and written? In D3hot it can, and a program may have put
 * its function there. The recorded state of a function without a driver is unknown, so try a read.
 */
bool flat_answers(struct pci_dev *pdev)
{
	return pdev->current_state != PCI_D3cold && pci_device_is_present(pdev);
}

/*
 * Bus Master Enable is in the low byte of the command register, PCI 3.0 section 6.2.2; Interrupt
 * Disable is in the high one, and VFIO's interrupt handler may be setting it. Only the low byte is
 * written, so that a masked INTx stays masked, which pci_clear_master() does not promise.
 */
static bool clear_master(struct pci_dev *pdev)
{
	u8 command;

	pci_read_config_byte(pdev, PCI_COMMAND, &command);
	if (!(command & PCI_COMMAND_MASTER))
		return false;
	pci_write_config_byte(pdev, PCI_COMMAND, command & ~PCI_COMMAND_MASTER);
	/* The answer pushes the function's posted writes to memory: PCI 3.0 section 3.2.5. */
	pci_read_config_byte(pdev, PCI_COMMAND, &command);
	return true;
}

static bool set_master(struct pci_dev *pdev)
{
	u8 command;

	pci_read_config_byte(pdev, PCI_COMMAND, &command);
	pci_write_config_byte(pdev, PCI_COMMAND, command | PCI_COMMAND_MASTER);
	return true;
}

static bool wait_for_pending(struct pci_dev *pdev)
{
	return pci_wait_for_pending_transaction(pdev);
}

/* Calls @fn if the function is awake and answers. Returns the value of @fn, or false. */
static bool if_it_answers(struct pci_dev *pdev, bool (*fn)(struct pci_dev *pdev))
{
	int active = flat_compat_pm_get_if_active(&pdev->dev);
	bool ret;

	if (!active)
		return false;
	ret = flat_answers(pdev) && fn(pdev);
	if (active > 0)
		pm_runtime_put(&pdev->dev);
	return ret;
}

/**
 * flat_clear_master() - stop a function from starting DMA
 * @pdev:	the function
 *
 * Does nothing if the function is suspended or in D3cold: a read would return all ones, which would
 * be written back, and some host bridges abort. Callers hold flat_attach_lock, so this neither
 * sleeps nor wakes the function up. It does not take pci_cfg_access_lock(), because a reset holds
 * that while it calls the module. So a concurrent reset may set bus mastering again.
 *
 * Returns whether the function could start DMA until now.
 */
bool flat_clear_master(struct pci_dev *pdev)
{
	return if_it_answers(pdev, clear_master);
}

/* Undoes flat_clear_master(), under the same rules. */
void flat_set_master(struct pci_dev *pdev)
{
	if_it_answers(pdev, set_master);
}

/* Waits until a stopped function has no pending transaction, at most two seconds. Sleeps. */
void flat_wait_for_pending(struct pci_dev *pdev)
{
	if_it_answers(pdev, wait_for_pending);
}
