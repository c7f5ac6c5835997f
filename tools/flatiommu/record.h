/* SPDX-License-Identifier: MIT */
/*
 * Records of what bind has changed, so that unbind can undo it. They are in /run/flatiommu: a
 * reboot clears both the records and the changes. A record is written before its change, and
 * removed after the change was undone, so a command that dies at any point leaves enough for
 * unbind.
 */
#ifndef RECORD_H
#define RECORD_H

#include <stdbool.h>

#include "pci.h"
#include "sysfs.h"

/**
 * struct record - a function, as it was before bind
 * @address:	the function
 * @driver:	its driver, or ""
 * @override:	its driver_override, or ""
 * @claimed:	it was claimed
 * @probe:	another tool has bound it, not bind: any driver may have it after unbind
 * @vendor:	its id, with @device: another device may be plugged in there later
 */
struct record {
	char address[PCI_ADDRESS_SIZE];
	char driver[64];
	char override[64];
	bool claimed, probe;
	unsigned int vendor, device;
};

/* Locks changes: one command at a time may make them, until it ends or unlocks. */
int record_lock(struct tool *tool);

/* The same, and reads the functions again, as another command may have changed them meanwhile. */
int record_lock_for(struct tool *tool, struct functions *functions);
void record_unlock(void);

/* Returns the file descriptor of the lock, or -1. A child that has it keeps the lock if we die. */
int record_lock_fd(void);

/* Returns 0 or -ENOENT. */
int record_load(struct record *record, const char *address);
int record_save(struct tool *tool, const struct record *record);
void record_remove(const char *address);
bool record_is_of(const struct record *record, const struct function *function);

/* Gets the addresses of all records. */
int records_read(struct names *addresses);

/*
 * The record of the machine has lines "module NAME" for modules that were not loaded, and
 * "parameter PATH VALUE" with old values. machine_load() returns it, to be freed, or NULL if there
 * is none.
 */
char *machine_load(void);
int machine_save(struct tool *tool, const char *text);
void machine_remove(void);

#endif
