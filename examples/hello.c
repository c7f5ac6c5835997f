// SPDX-License-Identifier: MIT
/* hello BDF: opens a function that is bound to vfio-pci, and prints its properties. */
#include <flatiommu.h>
#include <linux/pci_regs.h>
#include <stdio.h>
#include <stdlib.h>

static int show(struct flatiommu *flat, struct flatiommu_device *device)
{
	static const char *const irqs[] = { "INTx", "MSI", "MSI-X" };
	uint16_t vendor, product, class;
	unsigned int i;
	int err;

	err = flatiommu_config_read16(device, PCI_VENDOR_ID, &vendor);
	if (!err)
		err = flatiommu_config_read16(device, PCI_DEVICE_ID, &product);
	if (!err)
		err = flatiommu_config_read16(device, PCI_CLASS_DEVICE, &class);
	if (err)
		return err;
	printf("device   %s [%04x:%04x], class %04x\n", flatiommu_device_name(device), vendor, product,
	       class);
	printf("backend  %s\n", flatiommu_backend_reason(flat));
	printf("DMA      %s\n", flatiommu_isolated(flat) ? "the IOMMU keeps it to its buffers" :
	       "reaches all of memory: nothing keeps it to its buffers");
	for (i = 0; i < 6; i++)
		if (flatiommu_region_size(device, i) > 0)
			printf("BAR %u    %lld bytes\n", i, (long long)flatiommu_region_size(device, i));
	for (i = 0; i < 3; i++)
		printf("%-8s %d\n", irqs[i], flatiommu_irq_vectors(device, (enum flatiommu_irq)i));
	return 0;
}

int main(int argc, char **argv)
{
	struct flatiommu_device *device;
	struct flatiommu *flat;
	int err;

	if (argc != 2) {
		fprintf(stderr, "usage: hello BDF\n");
		return 2;
	}
	if (flatiommu_open(&flat))
		return EXIT_FAILURE;
	err = flatiommu_device_open(flat, argv[1], &device);
	if (!err)
		err = show(flat, device);
	if (err)
		fprintf(stderr, "hello: %s\n", flatiommu_reason(flat));
	flatiommu_close(flat);
	return err ? EXIT_FAILURE : EXIT_SUCCESS;
}
