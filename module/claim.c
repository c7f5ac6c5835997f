// SPDX-License-Identifier: GPL-2.0-only
/*
 * Claims: which functions have a dummy IOMMU, how they come to one and lose it.
 *
 * Three ways in: the sysfs file, the parameter devices=, and a vfio driver about to bind. Two ways
 * out: the sysfs file, and removal of the function.
 *
 * Locks, outermost first:
 *	device_lock(function) -> claims_lock -> locks of the IOMMU core (probe lock, group->mutex)
 * device_lock() keeps a driver from binding between the check and the (un)registration; lockdep
 * does not see it. Notifier callbacks never take it, as some of them run with it held, nor
 * pci_lock_rescan_remove(), which hot-unplug holds.
 *
 * The last reference to a group is put from a work item, with no lock held: putting it waits for
 * writers of the group's sysfs files, and up to 6.4 one of them waits for device_lock().
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/capability.h>
#include <linux/ctype.h>
#include <linux/iommu.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/notifier.h>
#include <linux/panic.h>
#include <linux/pci.h>
#include <linux/platform_device.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/workqueue.h>

#include "compat.h"
#include "declare.h"
#include "flatiommu.h"
#include "wc.h"

static DEFINE_MUTEX(claims_lock);

/* All protected by claims_lock. */
static bool live;		/* the module is loaded: claims may be made */
static LIST_HEAD(claims);
static LIST_HEAD(retired);	/* unregistered, group not put yet */
static LIST_HEAD(spares);	/* no claims any more, see new_claim() */
static LIST_HEAD(going);	/* functions between DEL_DEVICE and REMOVED_DEVICE */

struct going_function {
	struct list_head entry;
	struct device *dev;
};

/*
 * Set under claims_lock for the length of a registration. probe_device() is called for any device
 * and in any task meanwhile; the claim is its caller's only where the task is the claimer.
 */
static struct task_struct *claimer;
static struct flat_claim *claiming;

static char *devices = "";
module_param(devices, charp, 0444);
MODULE_PARM_DESC(devices, "functions to claim as soon as they are there, such as 0000:00:04.0,0000:00:05.0/wc=2, where BAR 2 is to be write-combined");

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

/* The claim that this task is registering, if it is for @dev. */
struct flat_claim *flat_claim_being_made(struct device *dev)
{
	if (READ_ONCE(claimer) != current || dev != &claiming->pdev->dev)
		return NULL;
	return claiming;
}

/* For those who use a claim without making one. It is not released meanwhile. */
void flat_claims_lock(void)
{
	mutex_lock(&claims_lock);
}

void flat_claims_unlock(void)
{
	mutex_unlock(&claims_lock);
}

static struct flat_claim *find_claim(struct device *dev)
{
	struct flat_claim *claim;

	list_for_each_entry(claim, &claims, entry)
		if (&claim->pdev->dev == dev)
			return claim;
	return NULL;
}

/* Returns the claim of @pdev, or NULL. Caller holds flat_claims_lock(). */
struct flat_claim *flat_claim_of(struct pci_dev *pdev)
{
	return find_claim(&pdev->dev);
}

/* Returns the claimed function in a group, with a reference for the caller, or NULL. */
struct pci_dev *flat_claimed_with_group(int group)
{
	struct pci_dev *pdev = NULL;
	struct flat_claim *claim;

	mutex_lock(&claims_lock);
	list_for_each_entry(claim, &claims, entry)
		if (iommu_group_id(claim->group) == group)
			pdev = pci_dev_get(claim->pdev);
	mutex_unlock(&claims_lock);
	return pdev;
}

/**
 * flat_uses_bus_addresses() - does a function reach memory at bus addresses?
 * @pdev:	a function, claimed or not
 *
 * Returns 0, or -EALREADY where an IOMMU translates for it, or -EAFNOSUPPORT where bus addresses do
 * not suffice on this machine.
 */
int flat_uses_bus_addresses(struct pci_dev *pdev)
{
	struct iommu_group *group = iommu_group_get(&pdev->dev);
	bool claimed, translated;

	flat_claims_lock();
	claimed = flat_claim_of(pdev);
	flat_claims_unlock();
	/* The group of VFIO's no-IOMMU mode has no domain. */
	translated = group && !claimed && iommu_get_domain_for_dev(&pdev->dev);
	iommu_group_put(group);
	if (translated)
		return -EALREADY;
	return flat_not_plain(pdev) ? -EAFNOSUPPORT : 0;
}

static struct going_function *find_going(struct device *dev)
{
	struct going_function *g;

	list_for_each_entry(g, &going, entry)
		if (g->dev == dev)
			return g;
	return NULL;
}

static void reap_retired(struct work_struct *work)
{
	struct flat_claim *claim;
	LIST_HEAD(list);

	mutex_lock(&claims_lock);
	list_splice_init(&retired, &list);
	if (list_empty(&claims))
		flat_compat_forget_ops(&flat_iommu_ops);
	mutex_unlock(&claims_lock);

	list_for_each_entry(claim, &list, entry) {
		iommu_group_put(claim->group);
		pci_dev_put(claim->pdev);
	}

	mutex_lock(&claims_lock);
	list_splice(&list, &spares);
	mutex_unlock(&claims_lock);
}

static DECLARE_WORK(reap_work, reap_retired);

/* @claim is unregistered and in no list. */
static void retire(struct flat_claim *claim)
{
	flat_forget_declarations(claim);
	flat_wc_release(claim);
	iommu_device_sysfs_remove(&claim->iommu);
	list_add(&claim->entry, &retired);
	queue_work(flat_wq, &reap_work);
}

/*
 * A claim's memory is used again, but freed only as the module goes: while it adds a device, the
 * core reads iommu_device.ops of any IOMMU, without a lock or a reference that holds the IOMMU.
 */
static struct flat_claim *new_claim(struct pci_dev *pdev)
{
	struct flat_claim *claim;

	claim = list_first_entry_or_null(&spares, struct flat_claim, entry);
	if (claim)
		list_del(&claim->entry);
	else
		claim = kzalloc(sizeof(*claim), GFP_KERNEL);
	if (!claim)
		return NULL;
	claim->pdev = pci_dev_get(pdev);
	claim->group = NULL;
	claim->probed = false;
	claim->attachment = FLAT_IDENTITY;
	claim->domain = NULL;
	INIT_LIST_HEAD(&claim->attached);
	INIT_LIST_HEAD(&claim->declarations);
	return claim;
}

static int register_claim(struct flat_claim *claim)
{
	int ret;

	claiming = claim;
	WRITE_ONCE(claimer, current);
	ret = flat_compat_register(&claim->iommu, &flat_iommu_ops, &claim->pdev->dev);
	WRITE_ONCE(claimer, NULL);
	claiming = NULL;
	/* A failed registration has unregistered itself. */
	if (ret)
		return ret;
	if (claim->probed)
		return 0;
	/* From 6.8 another IOMMU does not keep us from registering, only from being asked. */
	iommu_device_unregister(&claim->iommu);
	return -EALREADY;
}

static void taint_kernel(void)
{
	if (test_taint(TAINT_USER))
		return;
	pr_warn("user space gets devices that can reach all of memory; this taints the kernel\n");
	add_taint(TAINT_USER, LOCKDEP_STILL_OK);
}

/**
 * claim_function() - put a function under a dummy IOMMU
 * @pdev:	the function; the caller holds its device_lock(), or it cannot be bound yet
 * @how:	for the log
 * @binding:	a vfio driver is about to bind to it
 * @wc_bars:	a bit for each BAR to be held write-combined
 *
 * Returns 0 or an error of claim, see main.c; logs either.
 */
static int claim_function(struct pci_dev *pdev, const char *how, bool binding,
			  unsigned long wc_bars)
{
	struct flat_claim *claim;
	int ret;

	mutex_lock(&claims_lock);
	if (!live) {
		pr_warn("%s: not claimed: the module is still being loaded\n", pci_name(pdev));
		ret = -EAGAIN;
		goto unlock;
	}
	if (find_claim(&pdev->dev)) {
		pr_warn("%s: not claimed: it is claimed already\n", pci_name(pdev));
		ret = -EEXIST;
		goto unlock;
	}
	if (find_going(&pdev->dev) || !device_is_registered(&pdev->dev)) {
		pr_warn("%s: not claimed: it is being removed\n", pci_name(pdev));
		ret = -ENODEV;
		goto unlock;
	}
	ret = flat_may_claim(pdev);
	if (ret)
		goto unlock;
	if (pdev->dev.driver && !binding) {
		pr_warn("%s: not claimed: %s is bound to it; unbind that first\n", pci_name(pdev),
			pdev->dev.driver->name);
		ret = -EBUSY;
		goto unlock;
	}

	claim = new_claim(pdev);
	if (!claim) {
		pr_warn("%s: not claimed: no memory\n", pci_name(pdev));
		ret = -ENOMEM;
		goto unlock;
	}
	ret = flat_wc_hold(claim, wc_bars);
	if (ret)
		goto put_claim;
	/* Not the function's child: its directory there would take the name of the core's link. */
	ret = iommu_device_sysfs_add(&claim->iommu, NULL, NULL, "flatiommu-%s",
				     pci_name(pdev));
	if (ret) {
		pr_warn("%s: not claimed: error %d\n", pci_name(pdev), ret);
		goto release_wc;
	}
	ret = register_claim(claim);
	if (ret) {
		pr_warn("%s: not claimed: the IOMMU core refused it (%d)%s\n", pci_name(pdev), ret,
			ret == -EBUSY || ret == -EALREADY ?
			"; another IOMMU driver is there, or it is being removed" : "");
		retire(claim);
		/* Up to 6.7 the core says -EBUSY, which is for a bound driver here. */
		if (ret == -EBUSY)
			ret = -EALREADY;
		goto unlock;
	}
	list_add(&claim->entry, &claims);
	pr_notice("%s: claimed %s: bus addresses, no isolation\n", pci_name(pdev), how);
	if (wc_bars)
		pr_notice("%s: write-combined while it is claimed: BAR %*pbl\n", pci_name(pdev),
			  PCI_STD_NUM_BARS, &wc_bars);
	taint_kernel();
	mutex_unlock(&claims_lock);
	return 0;

release_wc:
	flat_wc_release(claim);
put_claim:
	pci_dev_put(claim->pdev);
	list_add(&claim->entry, &spares);
unlock:
	mutex_unlock(&claims_lock);
	return ret;
}

/* Caller holds device_lock(). */
static int release_function(struct pci_dev *pdev)
{
	struct flat_claim *claim;
	int ret = 0;

	mutex_lock(&claims_lock);
	claim = find_claim(&pdev->dev);
	if (!claim) {
		pr_warn("%s: not released: it is not claimed\n", pci_name(pdev));
		ret = -ENOENT;
	} else if (find_going(&pdev->dev)) {
		/* Off the bus it is not found by unregister, and the core still needs the IOMMU. */
		pr_warn("%s: not released: it is being removed, which releases it\n",
			pci_name(pdev));
		ret = -ENODEV;
	} else if (pdev->dev.driver) {
		pr_warn("%s: not released: %s is bound to it; unbind that first\n", pci_name(pdev),
			pdev->dev.driver->name);
		ret = -EBUSY;
	} else {
		list_del(&claim->entry);
		iommu_device_unregister(&claim->iommu);
		retire(claim);
		pr_notice("%s: released\n", pci_name(pdev));
	}
	mutex_unlock(&claims_lock);
	return ret;
}

/*
 * From now on the function is neither claimed nor released: the core would not be told of the end
 * of the claim, or would be left without the IOMMU that it takes the function from.
 */
static void function_goes(struct device *dev)
{
	struct going_function *g = kmalloc(sizeof(*g), GFP_KERNEL | __GFP_NOFAIL);

	g->dev = dev;
	mutex_lock(&claims_lock);
	list_add(&g->entry, &going);
	mutex_unlock(&claims_lock);
}

/* The core, whose notifier runs before ours, has taken the function from under the IOMMU. */
static void function_gone(struct device *dev)
{
	struct flat_claim *claim;
	struct going_function *g;

	mutex_lock(&claims_lock);
	g = find_going(dev);
	if (g) {
		list_del(&g->entry);
		kfree(g);
	}
	claim = find_claim(dev);
	if (claim) {
		list_del(&claim->entry);
		iommu_device_unregister(&claim->iommu);
		retire(claim);
		pr_notice("%s: released: it was removed\n", dev_name(dev));
	}
	mutex_unlock(&claims_lock);
}

/* A function that is asked for: BDF[/wc=BAR[+BAR...]] */
struct request {
	unsigned int segment, bus, slot, function;
	unsigned long wc_bars;
};

/* Hexadecimal digits, @min to @max of them, and then @end, which is skipped. */
static bool parse_field(const char **s, unsigned int min, unsigned int max, char end,
			unsigned int *value)
{
	unsigned int digits;
	char c;

	*value = 0;
	for (digits = 0; digits < max && isxdigit(**s); digits++) {
		c = tolower(*(*s)++);
		*value = *value << 4 | (isdigit(c) ? c - '0' : c - 'a' + 10);
	}
	return digits >= min && *(*s)++ == end;
}

static bool parse_address(const char *s, struct request *r)
{
	return parse_field(&s, 4, 8, ':', &r->segment) && parse_field(&s, 2, 2, ':', &r->bus) &&
	       parse_field(&s, 2, 2, '.', &r->slot) && parse_field(&s, 1, 1, '\0', &r->function) &&
	       r->segment <= INT_MAX && r->slot <= 0x1f && r->function <= 7;
}

/* What follows the address, in the same text and cut from it; NULL when nothing does. */
static char *split_options(char *text)
{
	strsep(&text, "/");
	return text;
}

/* @options may be NULL. */
static bool parse_options(const char *address, const char *options, struct request *r)
{
	r->wc_bars = 0;
	if (!options || flat_wc_parse(options, &r->wc_bars))
		return true;
	pr_warn("%s: not claimed: '%s' is not wc= and BARs, 0 to 5, such as wc=2 or wc=0+2\n",
		address, options);
	return false;
}

static struct pci_dev *get_function(const struct request *r)
{
	return pci_get_domain_bus_and_slot(r->segment, r->bus, PCI_DEVFN(r->slot, r->function));
}

typedef int (*request_fn)(const struct request *r, void *data);

/*
 * Calls @fn for each function in devices=. Returns the first error of @fn, -EINVAL or -ENOMEM; the
 * last two are logged.
 */
static int walk_devices(request_fn fn, void *data)
{
	char *list = kstrdup(devices, GFP_KERNEL), *rest = list, *word, *options;
	struct request r;
	int ret = 0;

	if (!list) {
		pr_err("devices=: no memory to read it\n");
		return -ENOMEM;
	}
	while (!ret && (word = strsep(&rest, ","))) {
		word = strim(word);
		if (!*word)
			continue;
		options = split_options(word);
		if (!parse_address(word, &r)) {
			pr_err("devices=: %s is not a PCI address such as 0000:00:04.0\n", word);
			ret = -EINVAL;
		} else if (!parse_options(word, options, &r)) {
			ret = -EINVAL;
		} else {
			ret = fn(&r, data);
		}
	}
	kfree(list);
	return ret;
}

static int check_listed(const struct request *r, void *data)
{
	return capable(CAP_SYS_RAWIO) ? 0 : -EPERM;
}

/* The function was there before; caller holds its device_lock(). As claim_function(). */
static int claim_present(struct pci_dev *pdev, const char *how, unsigned long wc_bars)
{
	if (!flat_compat_is_added(pdev)) {
		pr_warn("%s: not claimed: it is still being added; try again\n", pci_name(pdev));
		return -EAGAIN;
	}
	return claim_function(pdev, how, false, wc_bars);
}

/* An unbind holds it for as long as a program has the function open. */
static int lock_function(struct pci_dev *pdev)
{
	int ret = device_lock_interruptible(&pdev->dev);

	if (ret)
		pr_warn("%s: a signal came while a bind or an unbind of it was waited for\n",
			pci_name(pdev));
	return ret;
}

/* The log says why one could not be claimed; the others are claimed all the same. */
static int claim_listed(const struct request *r, void *data)
{
	struct pci_dev *pdev = get_function(r);

	if (!pdev) {
		pr_notice("devices=: %04x:%02x:%02x.%x is not there; it will be claimed when it comes\n",
			  r->segment, r->bus, r->slot, r->function);
		return 0;
	}
	if (!lock_function(pdev)) {
		claim_present(pdev, "by devices=", r->wc_bars);
		device_unlock(&pdev->dev);
	}
	pci_dev_put(pdev);
	return 0;
}

struct listed {
	struct pci_dev *pdev;
	bool found;
	unsigned long wc_bars;
};

/* The first one counts. */
static int find_listed(const struct request *r, void *data)
{
	struct listed *l = data;

	if (l->found || r->segment != pci_domain_nr(l->pdev->bus) ||
	    r->bus != l->pdev->bus->number || PCI_DEVFN(r->slot, r->function) != l->pdev->devfn)
		return 0;
	l->found = true;
	l->wc_bars = r->wc_bars;
	return 0;
}

/* match_driver is not set: no driver can bind, though device_lock() is not held. */
static void function_comes(struct pci_dev *pdev)
{
	struct listed l = { .pdev = pdev };

	walk_devices(find_listed, &l);
	if (!l.found)
		return;
	if (l.wc_bars)
		/* Its BARs get their addresses between this and the first try to bind a driver. */
		pr_notice("%s: devices= says wc=, so it is claimed when a vfio driver binds (auto=Y), or by hand\n",
			  pci_name(pdev));
	else
		claim_function(pdev, "by devices=", false, 0);
}

/* Is @dev one for a claim by the side? In a group it has an IOMMU already, maybe a dummy one. */
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

/* device_lock() is held, the driver is known and its probe has not begun. */
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
	/* Its BARs had no addresses when it came, or its driver was bound when the module did. */
	if (!walk_devices(find_listed, &l))
		claim_function(pdev, how, true, l.wc_bars);
}

static int on_bus_event(struct notifier_block *nb, unsigned long event, void *data)
{
	struct device *dev = data;

	switch (event) {
	case BUS_NOTIFY_ADD_DEVICE:
		function_comes(to_pci_dev(dev));
		break;
	case BUS_NOTIFY_BIND_DRIVER:
		function_binds(to_pci_dev(dev));
		break;
	case BUS_NOTIFY_DEL_DEVICE:
		function_goes(dev);
		break;
	case BUS_NOTIFY_REMOVED_DEVICE:
		function_gone(dev);
		break;
	}
	return NOTIFY_DONE;
}

/* After the IOMMU core, which has priority 0 and must be done with a function that is removed. */
static struct notifier_block bus_nb = {
	.notifier_call = on_bus_event,
	.priority = -1,
};

/*
 * For a write to claim or release. Only a claim has options. The function's reference is the
 * caller's.
 */
static int function_of(const char *buf, size_t count, bool may_have_options, struct request *r,
		       struct pci_dev **pdev)
{
	char text[40], *word = text, *options = NULL;
	bool fits = count < sizeof(text) && strscpy(text, buf, sizeof(text)) >= 0;

	if (!capable(CAP_SYS_RAWIO)) {
		pr_warn_ratelimited("%s[%d] may not claim or release: that needs CAP_SYS_RAWIO\n",
				    current->comm, task_tgid_nr(current));
		return -EPERM;
	}
	if (fits) {
		word = strim(text);
		if (may_have_options)
			options = split_options(word);
	}
	if (!fits || !parse_address(word, r)) {
		pr_warn("'%.*s' is not a PCI address such as 0000:00:04.0\n",
			(int)min_t(size_t, strcspn(buf, "\n"), sizeof(text)), buf);
		return -EINVAL;
	}
	if (!parse_options(word, options, r))
		return -EINVAL;
	*pdev = get_function(r);
	if (!*pdev) {
		pr_warn("%04x:%02x:%02x.%x: there is no such PCI function\n", r->segment, r->bus,
			r->slot, r->function);
		return -ENODEV;
	}
	return 0;
}

/* What @fn did to a function's group has come to its end, too, when this returns. */
static ssize_t with_function(const char *buf, size_t count, bool may_have_options,
			     int (*fn)(struct pci_dev *pdev, const struct request *r))
{
	struct request r;
	struct pci_dev *pdev;
	int ret = function_of(buf, count, may_have_options, &r, &pdev);

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

static int claim_by_hand(struct pci_dev *pdev, const struct request *r)
{
	return claim_present(pdev, "by hand", r->wc_bars);
}

static int release_by_hand(struct pci_dev *pdev, const struct request *r)
{
	return release_function(pdev);
}

/**
 * flat_claim_store() - a write to claim
 * @buf:	a PCI address, and maybe BARs to be write-combined: BDF[/wc=BAR[+BAR...]]
 * @count:	bytes
 *
 * Returns @count or an error, see main.c.
 */
ssize_t flat_claim_store(const char *buf, size_t count)
{
	return with_function(buf, count, true, claim_by_hand);
}

/**
 * flat_release_store() - a write to release
 * @buf:	a PCI address
 * @count:	bytes
 *
 * When it returns, the function's group is gone. Returns @count or an error, see main.c.
 */
ssize_t flat_release_store(const char *buf, size_t count)
{
	return with_function(buf, count, false, release_by_hand);
}

/* A vfio driver that was refused before the module was loaded may have another try. */
static void bind_overridden(void)
{
	struct pci_dev *pdev = NULL;
	bool waits;

	for_each_pci_dev(pdev) {
		/* Who holds it binds or unbinds, and an unbind may wait for a program for ever. */
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

int flat_claim_init(void)
{
	int ret = walk_devices(check_listed, NULL);

	return ret ? ret : bus_register_notifier(&pci_bus_type, &bus_nb);
}

/* From now on, claims. */
void flat_claim_start(void)
{
	mutex_lock(&claims_lock);
	live = true;
	mutex_unlock(&claims_lock);
	walk_devices(claim_listed, NULL);
	if (READ_ONCE(auto_claim))
		bind_overridden();
}

static int ignore_event(struct notifier_block *nb, unsigned long event, void *data)
{
	return NOTIFY_DONE;
}

/* Nothing is claimed: the core holds a reference to the module for each claim. */
void flat_claim_exit(void)
{
	struct notifier_block nb = { .notifier_call = ignore_event };
	struct going_function *g, *next_g;
	struct flat_claim *claim, *next;

	/* Waits for callbacks that run, ours and those of the core that may hold our ops. */
	bus_unregister_notifier(&pci_bus_type, &bus_nb);
	flush_workqueue(flat_wq);
	mutex_lock(&claims_lock);
	flat_compat_forget_ops(&flat_iommu_ops);
	mutex_unlock(&claims_lock);
	/* A device may be being added, by a core that read the ops before they were gone. */
	bus_register_notifier(&pci_bus_type, &nb);
	bus_unregister_notifier(&pci_bus_type, &nb);
	bus_register_notifier(&platform_bus_type, &nb);
	bus_unregister_notifier(&platform_bus_type, &nb);
	list_for_each_entry_safe(g, next_g, &going, entry)
		kfree(g);
	list_for_each_entry_safe(claim, next, &spares, entry)
		kfree(claim);
}
