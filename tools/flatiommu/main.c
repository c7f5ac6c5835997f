// SPDX-License-Identifier: MIT
/*
 * flatiommu: PCI functions for programs, on machines without an IOMMU.
 *
 * main() finds the command in the table, parses the arguments by the command's table of flags, runs
 * it, and prints its error. Each command has a file.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "output.h"
#include "progress.h"
#include "tool.h"

static int help_run(struct tool *tool, const struct args *args);

static const struct command help_command = {
	.name = "help",
	.words = "[COMMAND]",
	.summary = "show the commands, or the usage of one",
	.max_words = 1,
	.run = help_run,
};

/* In the order of help. */
static const struct command *const commands[] = {
	&list_command,
	&status_command,
	&doctor_command,
	&bind_command,
	&unbind_command,
	&claim_command,
	&release_command,
	&run_command,
	&addresses_command,
	&history_command,
	&who_command,
	&help_command,
	&version_command,
};

#define NR_COMMANDS ARRAY_SIZE(commands)

/* Options of every command. */
static const struct flag common_flags[] = {
	{ "json", NULL, "print JSON" },
	{ "pretty", NULL, "print JSON for people to read" },
	{ "help", NULL, "show the usage" },
	{ NULL, NULL, NULL }
};

static const struct command *find_command(const char *name)
{
	size_t i;

	for (i = 0; i < NR_COMMANDS; i++)
		if (!strcmp(commands[i]->name, name))
			return commands[i];
	return NULL;
}

static struct json_object *describe_flags(const struct flag *flags)
{
	struct json_object *array = json_object_new_array();

	for (; flags && flags->name; flags++) {
		struct json_object *o = add_object(array);

		put_string(o, "name", flags->name);
		put_string(o, "takes", flags->takes);
		put_string(o, "help", flags->help);
	}
	return array;
}

static struct json_object *describe(const struct command *command)
{
	struct json_object *o = json_object_new_object();

	put_string(o, "name", command->name);
	put_string(o, "arguments", command->words);
	put_string(o, "summary", command->summary);
	json_object_object_add(o, "options", describe_flags(command->flags));
	return o;
}

static void flags_text(struct json_object *flags)
{
	size_t i;

	for (i = 0; i < json_object_array_length(flags); i++) {
		struct json_object *flag = json_object_array_get_idx(flags, i);
		const char *takes = get_string(flag, "takes");
		char name[64];

		snprintf(name, sizeof(name), "--%s%s%s", get_string(flag, "name"),
			 takes ? " " : "", takes ? takes : "");
		printf("    %-20s  %s\n", name, get_string(flag, "help"));
	}
}

static void usage_text(const struct tool *tool, struct json_object *command)
{
	struct json_object *flags = get(command, "options"), *common = describe_flags(common_flags);
	const char *words = get_string(command, "arguments");

	(void)tool;
	printf("Usage: flatiommu %s%s%s%s\n\n%s\n\n", get_string(command, "name"),
	       json_object_array_length(flags) ? " [OPTIONS]" : "", words ? " " : "",
	       words ? words : "", get_string(command, "summary"));
	flags_text(flags);
	flags_text(common);
	json_object_put(common);
}

static void help_text(const struct tool *tool, struct json_object *what)
{
	struct json_object *array = get(what, "commands");
	size_t i;

	(void)tool;
	puts("Usage: flatiommu [--json | --pretty] COMMAND [ARGUMENTS]\n\n"
	     "PCI functions for programs, on machines without an IOMMU: claim gives a function a\n"
	     "dummy IOMMU and so a group, bind hands it to vfio-pci.\n");
	for (i = 0; i < json_object_array_length(array); i++) {
		struct json_object *command = json_object_array_get_idx(array, i);

		printf("    %-10s  %s\n", get_string(command, "name"),
		       get_string(command, "summary"));
	}
	puts("\nflatiommu help COMMAND, or man flatiommu-COMMAND, says more. A DEVICE is a PCI\n"
	     "address (0000:01:00.0, 01:00.0), a network interface (eth1), a disk (nvme1n1), or\n"
	     "all that are vendor:device (8086:10d3).");
}

static int help_run(struct tool *tool, const struct args *args)
{
	const struct command *command;
	struct json_object *o, *array;
	size_t i;

	if (args->nr_words) {
		command = find_command(args->words[0]);
		if (!command) {
			cure(tool, "flatiommu help");
			return tool_fail(tool, -EINVAL, "%s: there is no such command", args->words[0]);
		}
		show(tool, describe(command), usage_text);
		return 0;
	}
	o = json_object_new_object();
	array = put_array(o, "commands");
	for (i = 0; i < NR_COMMANDS; i++)
		json_object_array_add(array, describe(commands[i]));
	show(tool, o, help_text);
	return 0;
}

/* Returns the name of an option: json for --json and -j. */
static const char *option_name(const char *word)
{
	size_t i;

	if (!strncmp(word, "--", 2))
		return word + 2;
	for (i = 0; common_flags[i].name; i++)
		if (word[1] == common_flags[i].name[0] && !word[2])
			return common_flags[i].name;
	return "";
}

/* Handles an option of every command. Returns 1 for help, and -ENOENT for other options. */
static int common_flag(struct tool *tool, const char *name)
{
	if (!strcmp(name, "json")) {
		tool->json = true;
		return 0;
	}
	if (!strcmp(name, "pretty")) {
		tool->json = tool->pretty = true;
		return 0;
	}
	return strcmp(name, "help") ? -ENOENT : 1;
}

static int bad_usage(struct tool *tool, const struct command *command)
{
	cure(tool, "flatiommu help%s%s", command ? " " : "", command ? command->name : "");
	return -EINVAL;
}

/* Parses one option at @argv, and its value. Returns the number of words, or -errno. */
static int parse_flag(struct tool *tool, const struct command *command, struct args *args,
		      char **argv)
{
	const char *name = option_name(argv[0]), *value = strchr(name, '=');
	size_t len = value ? (size_t)(value - name) : strlen(name);
	const struct flag *flag = command->flags;

	for (; flag && flag->name; flag++)
		if (strlen(flag->name) == len && !strncmp(flag->name, name, len))
			break;
	if (!flag || !flag->name) {
		bad_usage(tool, command);
		return tool_fail(tool, -EINVAL, "%s: %s has no such option", argv[0], command->name);
	}
	if (args->values[flag - command->flags]) {
		bad_usage(tool, command);
		return tool_fail(tool, -EINVAL, "%s: given twice", argv[0]);
	}
	if (!flag->takes && value) {
		bad_usage(tool, command);
		return tool_fail(tool, -EINVAL, "%s: --%s takes no value", argv[0], flag->name);
	}
	if (flag->takes && !value && !argv[1]) {
		bad_usage(tool, command);
		return tool_fail(tool, -EINVAL, "%s: %s is missing", argv[0], flag->takes);
	}
	args->values[flag - command->flags] = !flag->takes ? "" : value ? value + 1 : argv[1];
	return flag->takes && !value ? 2 : 1;
}

/* Parses the arguments. Returns 0, 1 if the user asks for the usage, or -errno. */
static int parse(struct tool *tool, const struct command *command, struct args *args, char **argv)
{
	bool options = true, help = false;
	int n;

	args->words = argv;
	for (; *argv; argv += n) {
		n = 1;
		if (options && !strcmp(*argv, "--")) {
			options = false;
		} else if (options && argv[0][0] == '-' && argv[0][1]) {
			int common = common_flag(tool, option_name(*argv));

			if (common > 0)
				help = true;
			else if (common < 0)
				n = parse_flag(tool, command, args, argv);
			if (n < 0)
				return n;
		} else {
			if (command->verbatim)
				options = false;
			args->words[args->nr_words++] = *argv;
		}
	}
	args->words[args->nr_words] = NULL;
	if (help)
		return 1;
	if (args->nr_words < command->min_words) {
		bad_usage(tool, command);
		return tool_fail(tool, -EINVAL, "%s: %s is missing", command->name, command->words);
	}
	if (!command->verbatim && args->nr_words > command->max_words) {
		bad_usage(tool, command);
		return tool_fail(tool, -EINVAL, "%s: one argument too many",
				 args->words[command->max_words]);
	}
	return 0;
}

static void tell_error(const struct tool *tool)
{
	struct json_object *o;

	fprintf(stderr, "flatiommu: %s%s%s\n", tool->error, *tool->cure ? "; try: " : "",
		tool->cure);
	if (!tool->json)
		return;
	o = json_object_new_object();
	put_string(o, "error", tool->error);
	put_string(o, "cure", tool->cure);
	puts(json_object_to_json_string_ext(o, JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(o);
}

int main(int argc, char **argv)
{
	const struct command *command = &help_command;
	struct tool tool = { 0 };
	struct args args = { 0 };
	bool help = false;
	int ret;

	(void)argc;
	for (argv++; *argv && argv[0][0] == '-'; argv++) {
		int common;

		if (!strcmp(*argv, "--version")) {
			command = &version_command;
			continue;
		}
		common = common_flag(&tool, option_name(*argv));
		help |= common > 0;
		if (common < 0) {
			bad_usage(&tool, NULL);
			tool_fail(&tool, -EINVAL, "%s: there is no such option", *argv);
			tell_error(&tool);
			return EXIT_USAGE;
		}
	}
	if (*argv) {
		command = find_command(*argv);
		if (!command) {
			bad_usage(&tool, NULL);
			tool_fail(&tool, -EINVAL, "%s: there is no such command", *argv);
			tell_error(&tool);
			return EXIT_USAGE;
		}
		argv++;
	} else if (command == &help_command) {
		/* help without a command prints the list of commands, not its own usage */
		help = false;
	}
	ret = help ? 1 : parse(&tool, command, &args, argv);
	if (ret < 0) {
		tell_error(&tool);
		return EXIT_USAGE;
	}
	if (ret) {
		show(&tool, describe(command), usage_text);
		ret = 0;
	} else {
		/* with run, the terminal belongs to the program */
		if (!command->verbatim)
			progress_begin(command->name);
		ret = command->run(&tool, &args);
		progress_end();
	}
	if (ret < 0) {
		tell_error(&tool);
		return command->failure ? command->failure : EXIT_FAILURE;
	}
	if (fflush(stdout) || ferror(stdout)) {
		tool_fail(&tool, -EIO, "standard output: %s", strerror(errno));
		tell_error(&tool);
		return EXIT_FAILURE;
	}
	return ret;
}
