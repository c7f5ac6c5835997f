// SPDX-License-Identifier: MIT
/* terminal COMMAND...: runs a command with a terminal as standard error, and prints what the terminal shows. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	int terminal = posix_openpt(O_RDWR | O_NOCTTY), theirs, status;
	char text[256];
	ssize_t n;

	if (argc < 2 || terminal < 0 || grantpt(terminal) || unlockpt(terminal))
		return 2;
	theirs = open(ptsname(terminal), O_RDWR | O_NOCTTY);
	if (theirs < 0)
		return 2;
	switch (fork()) {
	case -1:
		return 2;
	case 0:
		dup2(theirs, STDERR_FILENO);
		close(theirs);
		close(terminal);
		execvp(argv[1], argv + 1);
		_exit(127);
	}
	close(theirs);
	/* EIO: nobody has it open any more */
	while ((n = read(terminal, text, sizeof(text))) > 0)
		fwrite(text, 1, (size_t)n, stdout);
	return wait(&status) < 0 || !WIFEXITED(status) ? 2 : WEXITSTATUS(status);
}
