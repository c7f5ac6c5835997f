/* SPDX-License-Identifier: MIT */
/*
 * What bind has changed, so that unbind can put it back: /run/flatiommu, which a reboot clears as
 * it clears the changes. A record is written before the change that it is about, and removed after
 * the change was undone, so that whoever dies at any point leaves enough behind.
 */
#ifndef RECORD_H
#define RECORD_H

#include <stdbool.h>

#include "pci.h"
#include "sysfs.h"

/**
 * struct record - a function, as it was before bind
 * @address:	the function
 * @driver:	or ""
 * @override:	or ""
 * @claimed:	it was, by flatiommu
 * @vendor:	with @device, what it is; another kind may be plugged in there meanwhile
 */
struct record {
	char address[PCI_ADDRESS_SIZE];
	char driver[64];
	char override[64];
	bool claimed;
	unsigned int vendor, device;
};

/* One command at a time changes things, until its process ends or it unlocks. */
int record_lock(struct tool *tool);
void record_unlock(void);

/* The lock's file, or -1. A child that has it open when we die keeps it locked. */
int record_lock_fd(void);

/* 0 or -ENOENT */
int record_load(struct record *record, const char *address);
int record_save(struct tool *tool, const struct record *record);
void record_remove(const char *address);
bool record_is_of(const struct record *record, const struct function *function);

/* The addresses that have records. */
int records_read(struct names *addresses);

/*
 * Of the machine: one line each, "module NAME" that was not loaded, and "parameter PATH VALUE" as
 * it was. Freed by the caller; NULL when there is no record.
 */
char *machine_load(void);
int machine_save(struct tool *tool, const char *text);
void machine_remove(void);

#endif
