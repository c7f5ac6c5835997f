// SPDX-License-Identifier: GPL-2.0-only
/*
 * The ways to a claim and out of it. In: the sysfs file claim, the parameter devices=, and a vfio
 * driver that is about to bind. Out: the sysfs file release, and removal of the function.
 */
#include <linux/capability.h>
#include <linux/device.h>
#include <linux/iommu.h>
#include <linux/moduleparam.h>
#include <linux/notifier.h>
#include <linux/pci.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/workqueue.h>

#include "compat.h"
#include "flatiommu.h"
#include "function.h"
#include "guard.h"
#include "index.h"
#include "routes.h"

static char *devices = "";
module_param(devices, charp, 0444);
MODULE_PARM_DESC(devices, "functions to claim as soon as they are there, such as 0000:00:04.0,0000:00:05.0/wc=2/hold/fence, where BAR 2 is to be write-combined, and on_unmap=hold and on_refusal=fence are for this function");

static bool auto_claim = true;

static int auto_set(const char *val, const struct kernel_param *kp)
{
	return capable(CAP_SYS_RAWIO) ? param_set_bool(val, kp) : -EPERM;
}

static const struct kernel_param_ops auto_ops = {
	.flags = KERNEL_PARAM_OPS_FL_NOARG,
	.set = auto_set,
	.get = param_get_bool,
};

/* Newer kernels define auto as __auto_type, and the parameter would be called that. */
#pragma push_macro("auto")
#undef auto
module_param_cb(auto, &auto_ops, &auto_claim, 0644);
MODULE_PARM_DESC(auto, "claim a function without an IOMMU when a vfio driver is about to bind to it (default: Y)");
#pragma pop_macro("auto")

typedef int (*request_fn)(const struct flat_request *r, void *data);

/*
 * Calls @fn for each function in devices=. Returns the first error of @fn, -EINVAL or -ENOMEM; the
 * last two are logged.
 */
static int walk_devices(request_fn fn, void *data)
{
	char *list = kstrdup(devices, GFP_KERNEL), *rest = list, *word, *options;
	struct flat_request r;
	int ret = 0;

	if (!list) {
		pr_err("devices=: no memory to read it\n");
		return -ENOMEM;
	}
	while (!ret && (word = strsep(&rest, ","))) {
		if (!*word)
			continue;
		options = flat_split_options(word);
		if (!flat_parse_address(word, &r.at)) {
			pr_err("devices=: %s is not a PCI address such as 0000:00:04.0\n", word);
			ret = -EINVAL;
		} else if (!flat_parse_options(word, options, &r)) {
			ret = -EINVAL;
		} else {
			ret = fn(&r, data);
		}
	}
	kfree(list);
	return ret;
}

static int check_listed(const struct flat_request *r, void *data)
{
	return capable(CAP_SYS_RAWIO) ? 0 : -EPERM;
}

/* flat_claim_function() for a function on the bus. Caller holds its device_lock(). */
static int claim_present(struct pci_dev *pdev, const char *how, const struct flat_options *options)
{
	device_lock_assert(&pdev->dev);
	if (!flat_compat_is_added(pdev)) {
		pr_warn("%s: not claimed: it is still being added; try again\n", pci_name(pdev));
		return -EAGAIN;
	}
	return flat_claim_function(pdev, how, false, options);
}

/* Interruptible: an unbind holds the lock as long as a program has the function open. */
static int lock_function(struct pci_dev *pdev)
{
	int ret = device_lock_interruptible(&pdev->dev);

	if (ret)
		pr_warn("%s: a bind or an unbind of it is running, and a signal ended the wait\n",
			pci_name(pdev));
	return ret;
}

/* If a function cannot be claimed, this is logged, and the others are claimed all the same. */
static int claim_listed(const struct flat_request *r, void *data)
{
	struct pci_dev *pdev = flat_requested_function(r);

	if (!pdev) {
		pr_notice("devices=: %04x:%02x:%02x.%x is not there; it will be claimed when it comes\n",
			  r->at.segment, r->at.bus, r->at.slot, r->at.function);
		return 0;
	}
	if (!lock_function(pdev)) {
		claim_present(pdev, "by devices=", &r->options);
		device_unlock(&pdev->dev);
	}
	pci_dev_put(pdev);
	return 0;
}

struct listed {
	struct pci_dev *pdev;
	bool found;
	struct flat_options options;
};

/* If devices= lists @pdev twice, the first entry counts. */
static int find_listed(const struct flat_request *r, void *data)
{
	struct listed *l = data;

	if (l->found || r->at.segment != pci_domain_nr(l->pdev->bus) ||
	    r->at.bus != l->pdev->bus->number ||
	    PCI_DEVFN(r->at.slot, r->at.function) != l->pdev->devfn)
		return 0;
	l->found = true;
	l->options = r->options;
	return 0;
}

/* Called without device_lock(), but the PCI core does not allow a driver to bind yet. */
static void function_comes(struct pci_dev *pdev)
{
	struct listed l = { .pdev = pdev };

	walk_devices(find_listed, &l);
	if (!l.found)
		return;
	if (l.options.wc_bars)
		/* Its BARs get their addresses between this and the first try to bind a driver. */
		pr_notice("%s: devices= says wc=, so it is claimed when a vfio driver binds (auto=Y), or by hand\n",
			  pci_name(pdev));
	else
		flat_claim_function(pdev, "by devices=", false, &l.options);
}

/* Should this bind claim @dev? Only if it is in no group yet, and the driver is a vfio driver. */
static bool binds_to_vfio(struct device *dev)
{
	struct device_driver *driver = dev->driver;
	struct iommu_group *group = iommu_group_get(dev);

	if (group) {
		iommu_group_put(group);
		return false;
	}
	return driver && to_pci_driver(driver)->driver_managed_dma && strstr(driver->name, "vfio");
}

/* Called with device_lock() held, after dev->driver is set and before probe(). */
static void function_binds(struct pci_dev *pdev)
{
	struct listed l = { .pdev = pdev };
	char how[80];

	if (!READ_ONCE(auto_claim) || !binds_to_vfio(&pdev->dev))
		return;
	if (!capable(CAP_SYS_RAWIO)) {
		pr_warn_ratelimited("%s: not claimed automatically: %s[%d] has no CAP_SYS_RAWIO\n",
				    pci_name(pdev), current->comm, task_tgid_nr(current));
		return;
	}
	snprintf(how, sizeof(how), "automatically, as %s binds (%s[%d])", pdev->dev.driver->name,
		 current->comm, task_tgid_nr(current));
	/* devices= may list it with wc=: it could not be claimed earlier, see function_comes(). */
	if (!walk_devices(find_listed, &l))
		flat_claim_function(pdev, how, true, &l.options);
}

static int on_bus_event(struct notifier_block *nb, unsigned long event, void *data)
{
	struct device *dev = data;

	switch (event) {
	case BUS_NOTIFY_ADD_DEVICE:
		flat_index_add(to_pci_dev(dev));
		function_comes(to_pci_dev(dev));
		break;
	case BUS_NOTIFY_BIND_DRIVER:
		function_binds(to_pci_dev(dev));
		flat_claim_finds_doorbell(to_pci_dev(dev));
		flat_claim_binds(to_pci_dev(dev), current);
		break;
	case BUS_NOTIFY_BOUND_DRIVER:
	case BUS_NOTIFY_DRIVER_NOT_BOUND:
		flat_claim_binds(to_pci_dev(dev), NULL);
		break;
	case BUS_NOTIFY_DEL_DEVICE:
		flat_index_remove(to_pci_dev(dev));
		flat_function_goes(dev);
		flat_guard_end(to_pci_dev(dev));
		break;
	case BUS_NOTIFY_REMOVED_DEVICE:
		flat_index_remove(to_pci_dev(dev));
		flat_function_gone(dev);
		break;
	}
	return NOTIFY_DONE;
}

/* Runs after the IOMMU core, which has priority 0 and must have let a removed function go. */
static struct notifier_block bus_nb = {
	.notifier_call = on_bus_event,
	.priority = -1,
};

/*
 * Parses a write to claim or release. Only a claim may have options. Returns the function with a
 * reference for the caller.
 */
static int function_of(const char *buf, bool may_have_options, struct flat_request *r,
		       struct pci_dev **pdev)
{
	char text[48], *options = NULL;
	ssize_t n = strscpy(text, buf, sizeof(text));

	if (!capable(CAP_SYS_RAWIO)) {
		pr_warn_ratelimited("%s[%d] may not claim or release: that needs CAP_SYS_RAWIO in the initial user namespace\n",
				    current->comm, task_tgid_nr(current));
		return -EPERM;
	}
	/* echo adds this. */
	if (n > 0 && text[n - 1] == '\n')
		text[n - 1] = '\0';
	if (may_have_options)
		options = flat_split_options(text);
	if (n < 0 || !flat_parse_address(text, &r->at)) {
		pr_warn("'%.*s' is not a PCI address such as 0000:00:04.0\n",
			(int)min_t(size_t, strcspn(buf, "\n"), sizeof(text)), buf);
		return -EINVAL;
	}
	if (!flat_parse_options(text, options, r))
		return -EINVAL;
	*pdev = flat_requested_function(r);
	if (!*pdev) {
		pr_warn("%04x:%02x:%02x.%x: there is no such PCI function\n", r->at.segment,
			r->at.bus, r->at.slot, r->at.function);
		return -ENODEV;
	}
	return 0;
}

/* Calls @fn on the function. The workqueue is flushed, so a group that @fn released is gone. */
static ssize_t with_function(const char *buf, size_t count, bool may_have_options,
			     int (*fn)(struct pci_dev *pdev, const struct flat_request *r))
{
	struct flat_request r;
	struct pci_dev *pdev;
	int ret = function_of(buf, may_have_options, &r, &pdev);

	if (ret)
		return ret;
	ret = lock_function(pdev);
	if (!ret) {
		ret = fn(pdev, &r);
		device_unlock(&pdev->dev);
		flush_workqueue(flat_wq);
	}
	pci_dev_put(pdev);
	return ret ? ret : count;
}

static int claim_by_hand(struct pci_dev *pdev, const struct flat_request *r)
{
	return claim_present(pdev, "by hand", &r->options);
}

static int release_by_hand(struct pci_dev *pdev, const struct flat_request *r)
{
	return flat_release_function(pdev);
}

/*
 * claim, release: write a PCI address, such as 0000:00:04.0. For claim, options may follow, such as
 * 0000:00:04.0/wc=0+2/hold/fence: see struct flat_options.
 *
 * The errors of claim:
 * -EPERM	the caller has no CAP_SYS_RAWIO
 * -EINVAL	not a PCI address, or not options
 * -ENODEV	no such function, or it is being removed
 * -EAGAIN	the module is being loaded, or the function is being added
 * -EINTR	a signal, while a bind or unbind of the function was running
 * -EEXIST	it is claimed already
 * -EBUSY	a driver is bound
 * -ENOMEM	no memory
 * also the errors of flat_may_claim() and flat_wc_hold()
 *
 * and of release:
 * -EPERM, -EINVAL, -ENODEV, -EINTR, -EBUSY as above
 * -ENOENT	it is not claimed
 */
static ssize_t claim_store(struct device *dev, struct device_attribute *attr, const char *buf,
			   size_t count)
{
	return with_function(buf, count, true, claim_by_hand);
}
DEVICE_ATTR_WO(claim);

/* When it returns, the function's group is gone. */
static ssize_t release_store(struct device *dev, struct device_attribute *attr, const char *buf,
			     size_t count)
{
	return with_function(buf, count, false, release_by_hand);
}
DEVICE_ATTR_WO(release);

/* Binds functions whose vfio driver could not bind before the module was loaded. */
static void bind_overridden(void)
{
	struct pci_dev *pdev = NULL;
	bool waits;

	for_each_pci_dev(pdev) {
		/*
		 * If the lock is taken, a bind or unbind is running, and it may wait for a program:
		 * skip the function.
		 */
		if (!device_trylock(&pdev->dev))
			continue;
		waits = !pdev->dev.driver && flat_compat_override_is_vfio(pdev);
		device_unlock(&pdev->dev);
		/* Binding claims it, see function_binds(). */
		if (waits && device_attach(&pdev->dev) != 1)
			pr_warn("%s: its driver_override is a vfio driver, which did not bind\n",
				pci_name(pdev));
	}
}

int flat_routes_init(void)
{
	int ret = walk_devices(check_listed, NULL);

	if (!ret)
		ret = bus_register_notifier(&pci_bus_type, &bus_nb);
	if (!ret)
		flat_index_fill();
	return ret;
}

/* Allows claims, and makes those of devices=. */
void flat_routes_start(void)
{
	flat_claim_start();
	walk_devices(claim_listed, NULL);
	if (READ_ONCE(auto_claim))
		bind_overridden();
}

/* Waits for running callbacks: the module's, and the core's, which may use the module's ops. */
void flat_routes_exit(void)
{
	bus_unregister_notifier(&pci_bus_type, &bus_nb);
	flat_index_exit();
}
