// SPDX-License-Identifier: MIT
/* calls PROGRAM [ARGUMENT...]: runs it, what it says left out, and prints how many system calls it and its children made. */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#define OPTIONS (PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE | \
		 PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL)

static void run(char **argv)
{
	int null = open("/dev/null", O_WRONLY);

	dup2(null, STDOUT_FILENO);
	close(null);
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL))
		err(1, "ptrace");
	raise(SIGSTOP);
	execvp(argv[1], argv + 1);
	err(127, "%s", argv[1]);
}

int main(int argc, char **argv)
{
	unsigned long stops = 0;
	int status, result = 1;
	pid_t program, pid;

	if (argc < 2)
		errx(2, "usage: calls PROGRAM [ARGUMENT...]");
	program = fork();
	if (!program)
		run(argv);
	if (program < 0 || waitpid(program, &status, 0) != program || !WIFSTOPPED(status) ||
	    ptrace(PTRACE_SETOPTIONS, program, NULL, OPTIONS) || ptrace(PTRACE_SYSCALL, program, NULL, NULL))
		err(1, "%s", argv[1]);
	while ((pid = waitpid(-1, &status, __WALL)) > 0) {
		int signal = WIFSTOPPED(status) ? WSTOPSIG(status) : 0;

		if (!WIFSTOPPED(status)) {
			if (pid == program)
				result = WIFEXITED(status) ? WEXITSTATUS(status) : 1;
			continue;
		}
		if (signal == (SIGTRAP | 0x80))
			stops++;
		/* what is ptrace's own is not the program's */
		if (signal == (SIGTRAP | 0x80) || signal == SIGTRAP || signal == SIGSTOP)
			signal = 0;
		ptrace(PTRACE_SYSCALL, pid, NULL, (long)signal);
	}
	/* one as it enters, and one as it leaves */
	printf("%lu\n", (stops + 1) / 2);
	return result;
}
