// SPDX-License-Identifier: MIT
/*
 * job KEYS COMMAND...: runs a command as a shell does, as the foreground job of a terminal, and prints what becomes of the process
 * that it has started: "stopped", "exit STATUS" or "signal NUMBER", each once. When the command has printed "here", these keys are
 * typed, a second or a stop apart: z, Ctrl-Z; c, Ctrl-C; f, "fg".
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

static pid_t job;

static void run(int terminal, char **command)
{
	setpgid(0, 0);
	/* allowed while the signal is ignored */
	tcsetpgrp(terminal, getpid());
	signal(SIGTTOU, SIG_DFL);
	dup2(terminal, STDIN_FILENO);
	dup2(terminal, STDOUT_FILENO);
	dup2(terminal, STDERR_FILENO);
	execvp(*command, command);
	_exit(127);
}

/* Waits for a second at most. Ends with the job. */
static void wait_for_job(void)
{
	const struct timespec moment = { .tv_nsec = 20000000 };
	int i, status;

	for (i = 0; i < 50; i++) {
		if (waitpid(job, &status, WNOHANG | WUNTRACED) > 0)
			break;
		nanosleep(&moment, NULL);
	}
	if (i == 50)
		return;
	if (WIFSTOPPED(status)) {
		puts("stopped");
		return;
	}
	printf(WIFEXITED(status) ? "exit %d\n" : "signal %d\n", WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
	exit(0);
}

static void type(int keyboard, char key)
{
	if (key == 'f')
		kill(-job, SIGCONT);
	else if (write(keyboard, key == 'z' ? "\x1a" : "\x03", 1) != 1)
		exit(2);
}

int main(int argc, char **argv)
{
	int keyboard = posix_openpt(O_RDWR | O_NOCTTY), terminal, i;
	char text[4096];
	size_t length = 0;
	const char *key;
	ssize_t n;

	if (argc < 3 || keyboard < 0 || grantpt(keyboard) || unlockpt(keyboard))
		return 2;
	/* a process that leads a group cannot begin a session */
	if (fork())
		return wait(&i) < 0 || !WIFEXITED(i) ? 2 : WEXITSTATUS(i);
	setsid();
	signal(SIGTTOU, SIG_IGN);
	terminal = open(ptsname(keyboard), O_RDWR);
	if (terminal < 0)
		return 2;
	job = fork();
	if (!job)
		run(terminal, argv + 2);
	while (length < sizeof(text) - 1 && (n = read(keyboard, text + length, sizeof(text) - 1 - length)) > 0) {
		length += (size_t)n;
		text[length] = '\0';
		if (strstr(text, "here"))
			break;
	}
	wait_for_job();
	for (key = argv[1]; *key; key++) {
		type(keyboard, *key);
		wait_for_job();
	}
	for (i = 0; i < 60; i++)
		wait_for_job();
	puts("goes on");
	kill(-job, SIGKILL);
	return 0;
}
