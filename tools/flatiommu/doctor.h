/* SPDX-License-Identifier: MIT */
/* Parts of checks. A check is a function in a table; it prints one or more lines. */
#ifndef DOCTOR_H
#define DOCTOR_H

#include <json-c/json.h>

#include "memory.h"
#include "pci.h"
#include "processes.h"
#include "started.h"

/*
 * State of a line. NOTE: nothing is wrong, but another setting may be better; it counts as OK.
 * UNSEEN: this user cannot see it; it counts as a warning.
 */
enum verdict { OK, NOTE, UNSEEN, WARNING, PROBLEM };

/**
 * struct doctor - one examination
 * @lines:	[{"check", "function", "state", "text", "cure"}]
 * @worst:	worst state of all lines
 * @check:	name of the running check
 * @subject:	the function that the check is about, or NULL for the machine
 * @cure:	cure of the next line, or ""
 * @functions:	all functions of the machine
 * @behind:	number of functions for each enum behind
 * @processes:	processes that have device nodes open
 * @memory:	memory that the process can get
 * @pid:	the process to examine for, or NULL for this one
 * @started:	how flatiommu run has started that process
 * @program:	the process is a program that is about to run and uses huge pages
 * @pinned_twice:	its huge pages count against RLIMIT_MEMLOCK twice
 * @named:	the user named functions, which have checks of their own
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
	struct started started;
	bool program, pinned_twice, named;
};

/* Adds a line for the current check. */
void say(struct doctor *doctor, enum verdict verdict, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Sets the cure of the next line, a command for root: other users get it with sudo. */
void mend(struct doctor *doctor, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* As mend(), for a command that users run in their own shell, without sudo. */
void mend_here(struct doctor *doctor, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

struct check {
	const char *name;
	void (*run)(struct doctor *doctor);
};

/* The last check is empty. */
extern const struct check machine_checks[], function_checks[];

/* Is flatiommu useful on this machine, because no function has an IOMMU? */
static inline bool is_wanted(const struct doctor *doctor)
{
	return !doctor->behind[BEHIND_IOMMU];
}

/* doctor-module.c: flatiommu.ko, and the kernel's rules for it. */
void check_lockdown(struct doctor *doctor);
void check_module(struct doctor *doctor);
void run_checks(struct doctor *doctor, const struct check *checks);

/* A check of the machine that has a table of its own: reasons why a program may get no memory. */
void check_memory(struct doctor *doctor);
extern const struct check memory_checks[];

/* Checks in that table: huge pages, hugetlbfs, and huge pages on the functions' nodes. */
void check_hugepages(struct doctor *doctor);
void check_hugetlbfs(struct doctor *doctor);
void check_nodes(struct doctor *doctor);
/* Some checks of a function. */
void check_own_node(struct doctor *doctor);
void check_vectors(struct doctor *doctor);
void check_sriov(struct doctor *doctor);

/* The cure if too little memory may be locked. */
void mend_memlock(struct doctor *doctor);

/* Is the device at the address still the one of bind --persist? */
void check_persistent(struct doctor *doctor);

/* Attaches doctor->subject, tries it and detaches it. */
void doctor_try(struct doctor *doctor);

/* A format: its argument is the name of a module. */
#define ALLOW_INTERRUPTS "/sys/module/%s/parameters/allow_unsafe_interrupts"

#endif
