/* SPDX-License-Identifier: MIT */
/* What checks are made of. A check is a function in a table; it says one line or more. */
#ifndef DOCTOR_H
#define DOCTOR_H

#include <json-c/json.h>

#include "memory.h"
#include "pci.h"
#include "processes.h"

/* Of a line; unseen is what this user cannot see, and counts as a warning. */
enum verdict { OK, UNSEEN, WARNING, PROBLEM };

/**
 * struct doctor - one examination
 * @lines:	[{"check", "function", "state", "text", "cure"}]
 * @worst:	of all lines
 * @check:	the check that is being made
 * @subject:	the function that it is about, or NULL for the machine
 * @cure:	of the next line, or ""
 * @functions:	all of the machine's
 * @behind:	how many of them are behind what
 * @processes:	who has what open
 * @memory:	that the process can get
 * @pid:	of the process that is asked for, or NULL for this one
 * @program:	the process is a program that is to run now, and takes huge pages
 * @pinned_twice:	and they count against RLIMIT_MEMLOCK twice
 * @named:	functions were named, and are looked at by themselves
 */
struct doctor {
	struct json_object *lines;
	enum verdict worst;
	const char *check;
	const struct function *subject;
	char cure[1024];
	struct functions functions;
	unsigned int behind[BEHIND_IOMMU + 1];
	struct processes processes;
	struct memory memory;
	const char *pid;
	bool program, pinned_twice, named;
};

/* Says a line of the current check. */
void say(struct doctor *doctor, enum verdict verdict, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* The command that mends what the next line is about. It is run by root: others are told sudo. */
void mend(struct doctor *doctor, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The same for a command that anybody runs in his own shell. */
void mend_here(struct doctor *doctor, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

struct check {
	const char *name;
	void (*run)(struct doctor *doctor);
};

/* Ended by an empty one. */
extern const struct check machine_checks[], function_checks[];

/* Is flatiommu for this machine: has no function an IOMMU? */
static inline bool is_wanted(const struct doctor *doctor)
{
	return !doctor->behind[BEHIND_IOMMU];
}

/* doctor-module.c: flatiommu.ko, and what the kernel lets it do. */
void check_lockdown(struct doctor *doctor);
void check_module(struct doctor *doctor);
void run_checks(struct doctor *doctor, const struct check *checks);

/* One of the machine's that is several: what keeps a program from its memory. */
void check_memory(struct doctor *doctor);
extern const struct check memory_checks[];

/* Of these: huge pages, files for them, and whether they are on the nodes of functions. */
void check_hugepages(struct doctor *doctor);
void check_hugetlbfs(struct doctor *doctor);
void check_nodes(struct doctor *doctor);
/* Some of a function's. */
void check_own_node(struct doctor *doctor);
void check_vectors(struct doctor *doctor);
void check_sriov(struct doctor *doctor);

/* What a lack of lockable memory takes. */
void mend_memlock(struct doctor *doctor);

/* Whether what bind --persist was asked for is what is there. */
void check_persistent(struct doctor *doctor);

/* Attaches doctor->subject, tries it and lets it go. */
void doctor_try(struct doctor *doctor);

/* Format of a module's name. */
#define ALLOW_INTERRUPTS "/sys/module/%s/parameters/allow_unsafe_interrupts"

#endif
