// SPDX-License-Identifier: MIT
/*
 * calls [--opened] PROGRAM [ARGUMENT...]: runs a program without its output, and prints the number of system calls of it
 * and its children, or a line for each file that they opened or tried to open.
 */
#include <err.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define OPTIONS (PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE | \
		 PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL)

static unsigned long made;
static bool opened;

static void run(char **argv)
{
	int null = open("/dev/null", O_WRONLY);

	dup2(null, STDOUT_FILENO);
	close(null);
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL))
		err(1, "ptrace");
	raise(SIGSTOP);
	execvp(argv[0], argv);
	err(127, "%s", argv[0]);
}

static void print_path(pid_t pid, unsigned long at)
{
	char path[256] = "";
	struct iovec to = { .iov_base = path, .iov_len = sizeof(path) - 1 };
	struct iovec from = { .iov_base = (void *)at, .iov_len = sizeof(path) - 1 };

	/* less where the page ends and the next one is not there */
	if (process_vm_readv(pid, &to, 1, &from, 1, 0) < 0) {
		to.iov_len = from.iov_len = 0x1000 - at % 0x1000;
		if (to.iov_len >= sizeof(path) || process_vm_readv(pid, &to, 1, &from, 1, 0) < 0)
			return;
	}
	puts(path);
}

static void on_call(pid_t pid)
{
	struct __ptrace_syscall_info info;

	if (ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof(info), &info) < 0 || info.op != PTRACE_SYSCALL_INFO_ENTRY)
		return;
	made++;
	if (opened && info.entry.nr == SYS_openat)
		print_path(pid, info.entry.args[1]);
}

int main(int argc, char **argv)
{
	int status, result = 1;
	pid_t program, pid;

	opened = argc > 1 && !strcmp(argv[1], "--opened");
	argv += 1 + opened;
	if (!argv[0])
		errx(2, "usage: calls [--opened] PROGRAM [ARGUMENT...]");
	program = fork();
	if (!program)
		run(argv);
	if (program < 0 || waitpid(program, &status, 0) != program || !WIFSTOPPED(status) ||
	    ptrace(PTRACE_SETOPTIONS, program, NULL, OPTIONS) || ptrace(PTRACE_SYSCALL, program, NULL, NULL))
		err(1, "%s", argv[0]);
	while ((pid = waitpid(-1, &status, __WALL)) > 0) {
		int signal = WIFSTOPPED(status) ? WSTOPSIG(status) : 0;

		if (!WIFSTOPPED(status)) {
			if (pid == program)
				result = WIFEXITED(status) ? WEXITSTATUS(status) : 1;
			continue;
		}
		if (signal == (SIGTRAP | 0x80))
			on_call(pid);
		/* what is ptrace's own is not the program's */
		if (signal == (SIGTRAP | 0x80) || signal == SIGTRAP || signal == SIGSTOP)
			signal = 0;
		ptrace(PTRACE_SYSCALL, pid, NULL, (long)signal);
	}
	if (!opened)
		printf("%lu\n", made);
	return result;
}
