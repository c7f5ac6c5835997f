/* SPDX-License-Identifier: MIT */
/* Accesses that IOMMUs have blocked, from the kernel's log, and the buffers near to them. */
#ifndef FAULTS_H
#define FAULTS_H

#include <stdbool.h>

#include "address.h"

/**
 * struct fault - an access that an IOMMU has blocked
 * @function:	the function that made it, or a bridge above it
 * @address:	its address; Intel's IOMMUs report only the address of the page
 * @write:	it was a write
 * @reason:	the IOMMU's reason, or ""
 */
struct fault {
	char function[PCI_ADDRESS_SIZE];
	unsigned long long address;
	bool write;
	char reason[96];
};

/* Parses a line of the kernel's log, without time stamps. */
bool fault_parse(struct fault *fault, const char *line);

/*
 * Kinds of records in the kernel's log. FAULT_SOME: an interrupt has reported faults. FAULT_ONE:
 * one of these faults. The kernel leaves these records out if there are too many in a short time.
 */
enum fault_record { FAULT_NONE, FAULT_SOME, FAULT_ONE };

/* Parses a record of /dev/kmsg. A record that a program has written is FAULT_NONE. */
enum fault_record fault_parse_record(struct fault *fault, const char *record);

/**
 * struct near - the memory of a buffer nearest to an address
 * @address:	bus address of its first byte
 * @length:	its length
 * @memory:	its address in the process
 * @pid:	the process
 * @freed:	the buffer was freed
 * @found:	a buffer was found
 */
struct near {
	unsigned long long address, length, memory;
	int pid;
	bool freed, found;
};

/* Finds the memory nearest to the page of @address in the file that lib/fault.c writes. */
void near_find(struct near *near, const char *path, unsigned long long address);

/* Writes where the page of @address is, seen from the buffer. */
void near_text(char *text, int size, const struct near *near, unsigned long long address);

#endif
