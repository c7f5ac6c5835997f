// SPDX-License-Identifier: MIT
/*
 * The kernel logs the accesses that an IOMMU blocks, and libflatiommu writes its buffers to the
 * file that FLATIOMMU_FAULT names (lib/fault.c).
 */
#include "run-fault.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "faults.h"
#include "privilege.h"

#define LOG		"/dev/kmsg"
#define VARIABLE	"FLATIOMMU_FAULT"

/*
 * The kernel learns of a fault by an interrupt. After the program's end the log is read until
 * nothing comes for QUIET_MS, at most MOST_LATE times.
 */
#define QUIET_MS	500
#define MOST_LATE	100

#define MOST_TOLD	100

/**
 * struct watch - a program that is watched
 * @log:	the kernel's log
 * @signals:	signals to this process, as a file
 * @child:	the program
 * @status:	of waitpid(), once @ended
 * @buffers:	path of the file with the library's buffers
 * @faults:	number of faults
 * @undescribed: number of interrupts for faults that the log has not described
 * @nr_told:	number of different faults; each is told once
 * @told:	the different faults
 */
struct watch {
	int log, signals;
	pid_t child;
	int status;
	bool ended;
	char buffers[64];
	unsigned int faults, undescribed, nr_told;
	struct fault told[MOST_TOLD];
};

int check_faults(struct tool *tool, const struct functions *functions)
{
	unsigned int translated = 0, on_vfio = 0;
	char lack[400];
	size_t i;

	for (i = 0; i < functions->n; i++) {
		const struct function *f = &functions->function[i];

		translated += f->behind == BEHIND_IOMMU;
		on_vfio += f->behind == BEHIND_IOMMU && is_of_vfio(f);
	}
	if (!translated)
		return tool_fail(tool, -ENODEV, "run: --fault: this machine has no IOMMU, so that nothing faults. A machine "
				 "that has one: qemu-system-x86_64 -device intel-iommu (doc/sanitizer.md)");
	if (!on_vfio) {
		cure(tool, "flatiommu bind DEVICE");
		return tool_fail(tool, -ENODEV, "run: --fault: no function on vfio-pci has an IOMMU");
	}
	if (has_capability(CAP_SYS_ADMIN))
		return 0;
	lack_text(lack, sizeof(lack), CAP_SYS_ADMIN, "CAP_SYS_ADMIN");
	if (geteuid() && !in_user_namespace())
		cure(tool, "sudo flatiommu run --fault -- PROGRAM");
	return tool_fail(tool, -EPERM, "run: --fault: %s (for the program to see physical addresses)", lack);
}

static int open_log(struct tool *tool)
{
	int fd = open(LOG, O_RDONLY | O_NONBLOCK | O_CLOEXEC), err = fd < 0 ? errno : 0;

	if (err == ENOENT)
		cure(tool, "--device " LOG " --cap-add SYSLOG");
	if (err)
		return tool_fail(tool, -err, "run: --fault: " LOG ": %s: %s", strerror(err), err == ENOENT ?
				 "this container has no kernel log" : err == EPERM || err == EACCES ?
				 "the kernel's log is only for CAP_SYSLOG (dmesg_restrict)" : "no kernel log");
	/* Older faults are not this program's. */
	lseek(fd, 0, SEEK_END);
	return fd;
}

static int make_file(struct tool *tool, struct watch *watch)
{
	const char *directory = getenv("TMPDIR");
	int fd, ret = 0;

	if (!directory || *directory != '/' || strlen(directory) > sizeof(watch->buffers) - 32)
		directory = "/tmp";
	snprintf(watch->buffers, sizeof(watch->buffers), "%s/flatiommu-fault.XXXXXX", directory);
	fd = mkostemp(watch->buffers, O_CLOEXEC);
	if (fd < 0)
		return tool_fail(tool, -errno, "run: --fault: %s: %s", watch->buffers, strerror(errno));
	close(fd);
	if (setenv(VARIABLE, watch->buffers, 1))
		ret = tool_fail(tool, -errno, "run: " VARIABLE ": %s", strerror(errno));
	if (ret)
		unlink(watch->buffers);
	return ret;
}

static bool is_told(const struct watch *watch, const struct fault *fault)
{
	unsigned int i;

	for (i = 0; i < watch->nr_told; i++) {
		const struct fault *told = &watch->told[i];

		if (!strcmp(told->function, fault->function) && told->address == fault->address &&
		    told->write == fault->write)
			return true;
	}
	return false;
}

/* May the program have the function? Faults of functions with other drivers are not reported. */
static bool is_program_s(const struct fault *fault)
{
	struct function f;

	return function_read(&f, fault->function) || !*f.driver || is_of_vfio(&f) || is_bridge(&f);
}

static void tell(struct watch *watch, const struct fault *fault)
{
	struct near near;
	char text[300];

	if (!is_program_s(fault))
		return;
	watch->faults++;
	if (is_told(watch, fault) || watch->nr_told == MOST_TOLD)
		return;
	watch->told[watch->nr_told++] = *fault;
	fprintf(stderr, "flatiommu: fault: %s %s %#llx, which is not mapped for that%s%s\n",
		fault->function, fault->write ? "writes to" : "reads from", fault->address,
		*fault->reason ? ": " : "", fault->reason);
	near_find(&near, watch->buffers, fault->address);
	if (!near.found)
		return;
	near_text(text, sizeof(text), &near, fault->address);
	fprintf(stderr, "flatiommu: fault: %#llx is %s\n", fault->address, text);
}

static void read_log(struct watch *watch)
{
	char record[8192];
	struct fault fault;
	ssize_t n;

	for (;;) {
		n = read(watch->log, record, sizeof(record) - 1);
		if (n < 0 && errno == EPIPE) {
			fprintf(stderr, "flatiommu: fault: the kernel's log has overtaken the report: faults may be missing\n");
			continue;
		}
		if (n <= 0)
			return;
		record[n] = '\0';
		switch (fault_parse_record(&fault, record)) {
		case FAULT_ONE:
			watch->undescribed = 0;
			tell(watch, &fault);
			break;
		case FAULT_SOME:
			watch->undescribed++;
			break;
		case FAULT_NONE:
			break;
		}
	}
}

/* The terminal's shell waits for this process, and does not see that the program has stopped. */
static void stop_as_program(void)
{
	int terminal = open("/dev/tty", O_RDONLY | O_NOCTTY | O_CLOEXEC);

	/* Without a shell nobody would continue this process. */
	if (terminal < 0)
		return;
	close(terminal);
	raise(SIGSTOP);
}

static void read_child(struct watch *watch)
{
	int status;

	while (!watch->ended && waitpid(watch->child, &status, WNOHANG | WUNTRACED) > 0) {
		if (WIFSTOPPED(status)) {
			stop_as_program();
			continue;
		}
		watch->status = status;
		watch->ended = true;
	}
}

/*
 * Passes on signals from processes, except SIGPIPE of this process's own write(). The terminal has
 * signalled the program, too.
 */
static void read_signals(struct watch *watch)
{
	struct signalfd_siginfo info;

	while (read(watch->signals, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGCHLD)
			read_child(watch);
		else if (info.ssi_code <= 0 && info.ssi_pid != (uint32_t)getpid() && !watch->ended)
			kill(watch->child, (int)info.ssi_signo);
	}
}

static int report(struct watch *watch)
{
	struct pollfd fds[] = {
		{ .fd = watch->log, .events = POLLIN },
		{ .fd = watch->signals, .events = POLLIN },
	};
	unsigned int late = 0;
	int ret;

	do {
		ret = poll(fds, 2, watch->ended ? QUIET_MS : -1);
		read_log(watch);
		read_signals(watch);
		late += watch->ended;
	} while (!watch->ended || (ret > 0 && late < MOST_LATE));
	if (watch->undescribed) {
		watch->faults++;
		fprintf(stderr, "flatiommu: fault: another one, and the kernel's log does not describe it: it has but a few within 5 seconds. Cure: again, alone\n");
	}
	if (watch->faults) {
		fprintf(stderr, "flatiommu: fault: %u faults, %u of them different; exit status %d\n", watch->faults,
			watch->nr_told, EXIT_FAULT);
		return EXIT_FAULT;
	}
	/* as shells do; the first process of a container cannot kill itself */
	if (WIFSIGNALED(watch->status))
		return 128 + WTERMSIG(watch->status);
	return WEXITSTATUS(watch->status);
}

static int start(struct tool *tool, struct watch *watch, bool *child)
{
	struct sigaction action = { .sa_handler = SIG_DFL }, action_before;
	pid_t parent = getpid();
	sigset_t signals, before;

	/* If SIGCHLD is ignored, as it may be by who has started this process, it does not come. */
	sigaction(SIGCHLD, &action, &action_before);
	sigfillset(&signals);
	sigprocmask(SIG_BLOCK, &signals, &before);
	watch->signals = signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
	if (watch->signals < 0)
		return tool_fail(tool, -errno, "run: --fault: signalfd: %s", strerror(errno));
	watch->child = fork();
	if (watch->child < 0)
		return tool_fail(tool, -errno, "run: --fault: fork: %s", strerror(errno));
	if (watch->child)
		return 0;
	*child = true;
	/* Whoever kills run means the program. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		raise(SIGKILL);
	sigaction(SIGCHLD, &action_before, NULL);
	sigprocmask(SIG_SETMASK, &before, NULL);
	return 0;
}

/* A shell ends a script if Ctrl-C has killed a command, but not for the exit status of that. */
static void die_as_program(int number)
{
	sigset_t set;

	prctl(PR_SET_DUMPABLE, 0);
	signal(number, SIG_DFL);
	sigemptyset(&set);
	sigaddset(&set, number);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	raise(number);
}

int watch_faults(struct tool *tool, bool *child)
{
	static struct watch watch;
	int ret;

	watch.log = open_log(tool);
	if (watch.log < 0)
		return watch.log;
	ret = make_file(tool, &watch);
	if (ret)
		return ret;
	ret = start(tool, &watch, child);
	if (*child)
		return 0;
	if (!ret)
		ret = report(&watch);
	unlink(watch.buffers);
	if (watch.ended && !watch.faults && WIFSIGNALED(watch.status))
		die_as_program(WTERMSIG(watch.status));
	return ret;
}
