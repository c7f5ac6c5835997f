// SPDX-License-Identifier: MIT
/*
 * The library: an access to registers that the kernel has taken away is an error of
 * flatiommu_sigbus_catch(), in any thread. Every other SIGBUS gets to the earlier handler. Each
 * test runs in a child, because it changes the handlers of the process.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/pci_regs.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "api.h"
#include "devices.h"
#include "edu.h"
#include "mem.h"
#include "test.h"

#define ID 0x010000ed
#define THREADS 3
#define TOGGLES 200

static const char *const devices[] = { EDU, NVME, NULL };

/* Of the child. */
static struct flatiommu *mine;
static struct flatiommu_device *edu;
static void *regs;

/* In a child, where none of cmocka's assertions may be. */
#define must(what) do {							\
		if (!(what)) {						\
			fprintf(stderr, "line %d: %s\n", __LINE__, #what); \
			return -EIO;					\
		}							\
	} while (0)

static int begin(void (*handler)(int number))
{
	struct sigaction action = { .sa_handler = handler };
	int err = sigaction(SIGBUS, &action, NULL) ? -errno : 0;

	if (!err)
		err = flatiommu_open(&mine);
	if (!err)
		err = flatiommu_device_open(mine, EDU, &edu);
	if (!err)
		err = flatiommu_bar_map(edu, 0, 0, 0, 0, &regs);
	return err;
}

static int set_memory(struct flatiommu_device *device, bool on)
{
	uint16_t command;
	int err = flatiommu_config_read16(device, PCI_COMMAND, &command);

	if (err)
		return err;
	command = (uint16_t)(on ? command | PCI_COMMAND_MEMORY : command & ~PCI_COMMAND_MEMORY);
	return flatiommu_config_write16(device, PCI_COMMAND, command);
}

static int read_id(void *reg)
{
	return flatiommu_read32(reg) == ID ? 7 : -EBADMSG;
}

static int write_register(void *reg)
{
	flatiommu_write32((char *)reg + 4, 1);
	return 0;
}

static int refuse(void *arg)
{
	(void)arg;
	return -EPERM;
}

static int dead_registers(void *arg)
{
	int i;

	(void)arg;
	must(!begin(SIG_DFL));
	must(flatiommu_sigbus_catch(edu, read_id, regs) == -EOPNOTSUPP);
	must(strstr(flatiommu_reason(mine), "flatiommu_sigbus_install()"));
	must(!flatiommu_sigbus_install());
	must(!flatiommu_sigbus_install());
	must(flatiommu_sigbus_catch(NULL, read_id, regs) == -EINVAL);
	must(flatiommu_sigbus_catch(edu, NULL, regs) == -EINVAL);
	for (i = 0; i < 3; i++) {
		must(flatiommu_sigbus_catch(edu, read_id, regs) == 7);
		must(flatiommu_sigbus_catch(edu, refuse, NULL) == -EPERM);
		must(!set_memory(edu, false));
		must(flatiommu_sigbus_catch(edu, read_id, regs) == -ENODEV);
		must(strstr(flatiommu_reason(mine), "its memory is off"));
		must(flatiommu_sigbus_catch(edu, write_register, regs) == -ENODEV);
		must(flatiommu_sigbus_catch(edu, refuse, NULL) == -EPERM);
		must(!set_memory(edu, true));
	}
	must(flatiommu_sigbus_catch(edu, write_register, regs) == 0);
	flatiommu_close(mine);
	return 0;
}

static int set_power(struct flatiommu_device *device, unsigned int state)
{
	const struct timespec pause = { .tv_nsec = 50000000 };
	unsigned int at = 0;
	uint16_t control;
	int err = flatiommu_capability(device, PCI_CAP_ID_PM, &at);

	if (!err)
		err = flatiommu_config_read16(device, at + PCI_PM_CTRL, &control);
	if (err)
		return err;
	control = (uint16_t)((control & ~PCI_PM_CTRL_STATE_MASK) | state);
	err = flatiommu_config_write16(device, at + PCI_PM_CTRL, control);
	nanosleep(&pause, NULL);
	return err;
}

static int read_any(void *reg)
{
	return flatiommu_read32((char *)reg + 8) == UINT32_MAX ? -EIO : 0;
}

static int sleeping_registers(void *arg)
{
	struct flatiommu_device *nvme;
	void *bar;

	(void)arg;
	must(!begin(SIG_DFL));
	must(!flatiommu_sigbus_install());
	must(!flatiommu_device_open(mine, NVME, &nvme));
	must(!flatiommu_bar_map(nvme, 0, 0, PAGE, 0, &bar));
	must(!flatiommu_sigbus_catch(nvme, read_any, bar));
	must(!set_power(nvme, 3));
	must(flatiommu_sigbus_catch(nvme, read_any, bar) == -ENODEV);
	must(!set_power(nvme, 0));
	must(!flatiommu_sigbus_catch(nvme, read_any, bar));
	flatiommu_close(mine);
	return 0;
}

/* Mine is off, and theirs is on: one is asked for within the other. */
struct nested {
	struct flatiommu_device *device;
	void *mine, *theirs;
	int inner;
};

static int nest(void *arg)
{
	struct nested *n = arg;

	n->inner = flatiommu_sigbus_catch(n->device, read_any, n->mine);
	return read_any(n->theirs);
}

static int nested(void *arg)
{
	struct nested n = { 0 };

	(void)arg;
	must(!begin(SIG_DFL));
	must(!flatiommu_sigbus_install());
	must(!flatiommu_device_open(mine, NVME, &n.device));
	must(!flatiommu_bar_map(n.device, 0, 0, PAGE, 0, &n.mine));
	n.theirs = regs;
	must(!set_memory(n.device, false));
	must(!flatiommu_sigbus_catch(edu, nest, &n) && n.inner == -ENODEV);
	/* The outer one's, accessed in the inner one. */
	n.mine = regs;
	n.inner = 1;
	must(!set_memory(edu, false));
	must(flatiommu_sigbus_catch(edu, nest, &n) == -ENODEV && n.inner == 1);
	/* Nothing is left of either. */
	must(!set_memory(edu, true));
	must(flatiommu_sigbus_catch(edu, read_id, regs) == 7);
	flatiommu_close(mine);
	return 0;
}

/* A file that has become shorter. */
static char *lost_page(void)
{
	int fd = memfd_create("lost", MFD_CLOEXEC);
	char *page = MAP_FAILED;

	if (fd >= 0 && !ftruncate(fd, (off_t)PAGE))
		page = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
	if (fd < 0 || page == MAP_FAILED || ftruncate(fd, 0))
		abort();
	close(fd);
	return page;
}

static sigjmp_buf back;
static void *told_of;
static bool was_blocked;

static void remember(int number, siginfo_t *info, void *context)
{
	sigset_t now;

	(void)number;
	(void)context;
	told_of = info->si_addr;
	pthread_sigmask(SIG_BLOCK, NULL, &now);
	was_blocked = sigismember(&now, SIGUSR1);
	siglongjmp(back, 1);
}

/* 1 when the earlier handler was called for it. */
static int read_byte(void *address)
{
	told_of = NULL;
	was_blocked = false;
	if (!sigsetjmp(back, 1))
		return *(volatile char *)address ? 2 : 3;
	return told_of == address && was_blocked;
}

static int others(void *arg)
{
	struct sigaction action = { .sa_sigaction = remember, .sa_flags = SA_SIGINFO };
	char *lost = lost_page();

	(void)arg;
	must(!begin(SIG_DFL));
	sigaddset(&action.sa_mask, SIGUSR1);
	must(!sigaction(SIGBUS, &action, NULL));
	must(!flatiommu_sigbus_install());
	must(read_byte(lost + 5) == 1);
	must(flatiommu_sigbus_catch(edu, read_byte, lost + 6) == 1);
	/* Registers that nobody has asked for. */
	must(!set_memory(edu, false));
	must(read_byte((char *)regs + 4) == 1);
	flatiommu_close(mine);
	return 0;
}

static int unasked_for(void *arg)
{
	must(!begin(*(bool *)arg ? SIG_IGN : SIG_DFL));
	must(!flatiommu_sigbus_install());
	must(!set_memory(edu, false));
	read_id(regs);
	return 0;
}

static int sent(void *arg)
{
	must(!begin(*(bool *)arg ? SIG_IGN : SIG_DFL));
	must(!flatiommu_sigbus_install());
	kill(getpid(), SIGBUS);
	return 0;
}

static int times_called;

static void count(int number)
{
	(void)number;
	times_called++;
}

/* It is for one signal, and after that the program ends. */
static int once(void *arg)
{
	struct sigaction action = { .sa_handler = count, .sa_flags = (int)SA_RESETHAND };

	must(!begin(SIG_DFL));
	must(!sigaction(SIGBUS, &action, NULL));
	must(!flatiommu_sigbus_install());
	kill(getpid(), SIGBUS);
	must(times_called == 1);
	if (*(bool *)arg)
		kill(getpid(), SIGBUS);
	flatiommu_close(mine);
	return 0;
}

static atomic_bool ends;
static atomic_int reads, deaths, wrong;

static void *read_again_and_again(void *arg)
{
	(void)arg;
	while (!atomic_load(&ends)) {
		int ret = flatiommu_sigbus_catch(edu, read_id, regs);

		if (ret == 7)
			atomic_fetch_add(&reads, 1);
		else if (ret == -ENODEV)
			atomic_fetch_add(&deaths, 1);
		else
			atomic_fetch_add(&wrong, 1);
	}
	return NULL;
}

static void *map_again_and_again(void *arg)
{
	void *bar;

	(void)arg;
	while (!atomic_load(&ends))
		if (flatiommu_bar_map(edu, 0, 0, PAGE, 0, &bar) || flatiommu_bar_unmap(edu, bar))
			atomic_fetch_add(&wrong, 1);
	return NULL;
}

/* Several read, while the memory goes and comes, and so do other mappings. */
static int threads(void *arg)
{
	const struct timespec moment = { .tv_nsec = 5000000 };
	pthread_t thread[THREADS + 1];
	int i;

	(void)arg;
	must(!begin(SIG_DFL));
	must(!flatiommu_sigbus_install());
	for (i = 0; i <= THREADS; i++)
		must(!pthread_create(&thread[i], NULL, i ? read_again_and_again :
				     map_again_and_again, NULL));
	for (i = 0; i < TOGGLES; i++) {
		must(!set_memory(edu, i & 1));
		nanosleep(&moment, NULL);
	}
	atomic_store(&ends, true);
	for (i = 0; i <= THREADS; i++)
		pthread_join(thread[i], NULL);
	must(!atomic_load(&wrong));
	must(atomic_load(&reads) > TOGGLES && atomic_load(&deaths) > TOGGLES);
	flatiommu_close(mine);
	return 0;
}

static void is_an_error(void **state)
{
	(void)state;
	expect(0, in_child(dead_registers, NULL));
}

static void is_an_error_asleep(void **state)
{
	(void)state;
	expect(0, in_child(sleeping_registers, NULL));
}

static void may_be_nested(void **state)
{
	(void)state;
	expect(0, in_child(nested, NULL));
}

static void passes_others_on(void **state)
{
	(void)state;
	expect(0, in_child(others, NULL));
}

/* How a child ends. */
static int ends_by(int (*fn)(void *arg), bool arg)
{
	pid_t pid = child_begin(fn, &arg);
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFSIGNALED(status))
		return WTERMSIG(status);
	assert_int_equal(WEXITSTATUS(status), 0);
	return 0;
}

static void ends_as_without(void **state)
{
	(void)state;
	assert_int_equal(ends_by(unasked_for, false), SIGBUS);
	assert_int_equal(ends_by(unasked_for, true), SIGBUS);
	assert_int_equal(ends_by(sent, false), SIGBUS);
	assert_int_equal(ends_by(sent, true), 0);
	assert_int_equal(ends_by(once, false), 0);
	assert_int_equal(ends_by(once, true), SIGBUS);
}

static void is_for_any_thread(void **state)
{
	(void)state;
	expect(0, in_child(threads, NULL));
}

int main(void)
{
	const struct api_test tests[] = {
		API_TEST(is_an_error),
		API_TEST(is_an_error_asleep),
		API_TEST(may_be_nested),
		API_TEST(passes_others_on),
		API_TEST(ends_as_without),
		API_TEST(is_for_any_thread),
	};

	return api_run(tests, ARRAY_SIZE(tests), devices);
}
