/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * /dev/flatiommu: bus addresses of memory, for programs that drive PCI functions on a machine
 * without an IOMMU.
 *
 * A bus address is good for as long as the kernel may not move the memory, that is, while it is
 * pinned. There are two ways to pinned memory, and each has its way to the addresses:
 *
 * - through VFIO, for a function that flatiommu has claimed: DECLARE that this program programs the
 *   function with looked-up addresses, map the buffer with VFIO_IOMMU_MAP_DMA or
 *   IOMMU_IOAS_MAP at an IOVA of its own choice, and LOOKUP that IOVA. VFIO pins until the unmap;
 * - without VFIO, for any function that no IOMMU translates: PIN the buffer, and LOOKUP the pin.
 *
 * The node opens for CAP_SYS_RAWIO only (EPERM).
 *
 * Each call takes a struct that begins with its own size in bytes, as the program was compiled.
 * A longer one than the kernel knows is E2BIG, unless what the kernel does not know is zero, and
 * so is one of more than a page; a shorter one than the first version of the struct is EINVAL.
 * Members called reserved must be zero, and unknown flags too (EOPNOTSUPP). An unknown call is
 * ENOTTY. Unless said otherwise a call that fails has changed nothing. Members called out_* are
 * written by the kernel, as are those that are said to be.
 *
 * Errors of any call besides its own: EFAULT the struct or an array is not readable or writable,
 * ENOMEM the kernel has no memory, EINTR a fatal signal.
 */
#ifndef _LINUX_FLATIOMMU_H
#define _LINUX_FLATIOMMU_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define FLATIOMMU_TYPE '>'

/* Of this file: raised when something is added that a program must ask for before it uses it. */
#define FLATIOMMU_VERSION 3

/**
 * struct flatiommu_function - a PCI function, by its address
 * @segment:	PCI segment (domain)
 * @bus:	bus number
 * @devfn:	device << 3 | function
 * @reserved:	0
 */
struct flatiommu_function {
	__u32 segment;
	__u8 bus;
	__u8 devfn;
	__u16 reserved;
};

/**
 * struct flatiommu_segment - memory at consecutive bus addresses
 * @address:	what the function is to be told
 * @length:	bytes
 * @flags:	FLATIOMMU_SEGMENT_MMIO: registers or memory of a PCI function, not RAM
 * @reserved:	0
 */
struct flatiommu_segment {
	__aligned_u64 address;
	__aligned_u64 length;
	__u32 flags;
	__u32 reserved;
};

#define FLATIOMMU_SEGMENT_MMIO 0x1

/**
 * struct flatiommu_info - what is there, and what applies to a function
 * @size:	sizeof(struct flatiommu_info)
 * @flags:	FLATIOMMU_INFO_FUNCTION: of @function. FLATIOMMU_INFO_GROUP: of the claimed function
 *		whose IOMMU group is @group; @function is written. 0: of none, @out_state
 *		and @out_wc_bars are 0
 * @function:	the function
 * @group:	number of an IOMMU group; written with FLATIOMMU_INFO_FUNCTION, -1 for none
 * @out_version: FLATIOMMU_VERSION of the module
 * @out_state:	FLATIOMMU_STATE_* of the function
 * @out_wc_bars: the BARs that its claim holds write-combined, which VFIO maps so: bit 0 for BAR 0.
 *		None that was moved or resized since
 *
 * Ioctl FLATIOMMU_INFO. Errors: ENODEV no such function; ENOENT no claimed function has the group;
 * EINVAL both flags.
 */
struct flatiommu_info {
	__u32 size;
	__u32 flags;
	struct flatiommu_function function;
	__s32 group;
	__u32 out_version;
	__u32 out_state;
	__u32 out_wc_bars;
};

#define FLATIOMMU_INFO_FUNCTION	0x1
#define FLATIOMMU_INFO_GROUP	0x2

/* Nothing translates the function's DMA: it must be told bus addresses. */
#define FLATIOMMU_STATE_BUS_ADDRESSES	0x1
/* flatiommu has claimed it: VFIO works on it, and DECLARE. */
#define FLATIOMMU_STATE_CLAIMED		0x2
/*
 * It has an IOMMU, and must be told IOVAs once VFIO has it; none of the calls below is for it. Also
 * where the IOMMU lets addresses through (iommu=pt), as VFIO ends that.
 */
#define FLATIOMMU_STATE_TRANSLATED	0x4
/* Declared through this file descriptor. */
#define FLATIOMMU_STATE_DECLARED	0x8

#define FLATIOMMU_INFO _IO(FLATIOMMU_TYPE, 0x80)

/*
 * IOVAs to be looked up are not below this, 2^46: no machine has memory there, not even such as the
 * kernel was told to leave alone (mem=, memmap=). What mmap() returns is above it on x86, but for a
 * program whose stack has no limit; any other number will do as well.
 */
#define FLATIOMMU_LOOKUP_FIRST 0x400000000000ull

/* The most functions that one call takes. */
#define FLATIOMMU_MAX_FUNCTIONS 64

/**
 * struct flatiommu_declare - this program looks addresses up
 * @size:	sizeof(struct flatiommu_declare)
 * @flags:	0
 * @nr_functions: length of @functions, 1 to FLATIOMMU_MAX_FUNCTIONS
 * @reserved:	0
 * @functions:	address of an array of struct flatiommu_function, all of them claimed
 *
 * From now on a map at an IOVA that is not the memory's bus address is accepted, as long as the
 * caller's address space has declared all functions that share the mappings, and the IOVA range is
 * not below FLATIOMMU_LOOKUP_FIRST and has neither memory nor a PCI window at it: an address that
 * somebody forgot to look up then reaches nothing. Whoever did not declare itself, in the same
 * container or in another process, is refused as before. With iommufd it is also acceptance of what
 * the IOAS has mapped at the time of attach, and a page table (HWPT) takes such maps while a
 * function is attached to it.
 *
 * The declaration holds for the address space that opened the node, so that neither fork, exec nor
 * passing the file descriptor hands it on. It ends when the file is closed or the claim released;
 * what is mapped then stays, can be unmapped, and is not looked up any more. Declared twice is
 * declared.
 *
 * Ioctl FLATIOMMU_DECLARE. Errors: EPERM the caller has not opened the node itself, or has lost
 * CAP_SYS_RAWIO; ENODEV no such function; ENOENT it is not claimed; EPROTONOSUPPORT it does not see
 * what is in the processor's caches; EACCES the kernel is locked down; EINVAL @nr_functions; ENOSPC
 * 64 other programs have declared it.
 */
struct flatiommu_declare {
	__u32 size;
	__u32 flags;
	__u32 nr_functions;
	__u32 reserved;
	__aligned_u64 functions;
};

#define FLATIOMMU_DECLARE _IO(FLATIOMMU_TYPE, 0x81)

/**
 * struct flatiommu_lookup - bus addresses of what is mapped or pinned
 * @size:	sizeof(struct flatiommu_lookup)
 * @flags:	FLATIOMMU_LOOKUP_PIN: of @pin. 0: of an IOVA
 * @function:	the function that will be told the addresses; one that was declared, or that the pin
 *		is for
 * @pin:	what PIN returned, or 0
 * @nr_segments: length of @segments, not 0; set to the number written
 * @start:	an IOVA, or bytes from the start of the pinned memory; any alignment
 * @length:	bytes, not 0; set to those that the segments written stand for, from @start on
 * @segments:	address of an array of struct flatiommu_segment; neighbours that could be one are
 *
 * Less than the length that was asked for is no error: the array was full, or what follows is not
 * mapped. Ask again for the rest. The answer to a range that is being mapped or unmapped meanwhile
 * is of some time during the call. What another program has mapped is not mapped for this call, nor
 * is what it has mapped at bus addresses where several programs have done so.
 *
 * Ioctl FLATIOMMU_LOOKUP. Errors: ENOENT nothing is mapped at @start, or @start is behind the end
 * of the pin, or there is no such pin; ENODEV the function is not declared through this file
 * descriptor, or the pin is not for it, or the function that it is for was removed; EPERM the
 * caller has not opened the node itself; EINVAL @length, @nr_segments, a range that wraps; ERANGE
 * (of a pin) the function has no bus address for the memory. An array that is written to in part is
 * one of the things that may have changed.
 */
struct flatiommu_lookup {
	__u32 size;
	__u32 flags;
	struct flatiommu_function function;
	__u32 pin;
	__u32 nr_segments;
	__aligned_u64 start;
	__aligned_u64 length;
	__aligned_u64 segments;
};

#define FLATIOMMU_LOOKUP_PIN 0x1

#define FLATIOMMU_LOOKUP _IO(FLATIOMMU_TYPE, 0x82)

/**
 * struct flatiommu_pin - pin memory for functions
 * @size:	sizeof(struct flatiommu_pin)
 * @flags:	FLATIOMMU_PIN_READ_ONLY: the functions will not write to it. Without an IOMMU
 *		nothing keeps them from it, and what they write is not saved to a file then.
 *		FLATIOMMU_PIN_VFIO: the memory is let go as what VFIO has mapped is, see below
 *		FLATIOMMU_PIN_NO_STOP: the functions are not stopped as this memory is let go; not with FLATIOMMU_PIN_VFIO
 * @nr_functions: length of @functions, 1 to FLATIOMMU_MAX_FUNCTIONS
 * @out_pin:	names the pin, in calls through this file descriptor; not 0
 * @functions:	address of an array of struct flatiommu_function: all that will be told addresses
 * @vaddr:	the memory, in the caller's address space; any alignment
 * @length:	bytes, not 0
 * @nr_segments: length of @segments, set to the number written; 0: none are asked for. From
 *		FLATIOMMU_VERSION 2 on, as what follows
 * @reserved:	0
 * @segments:	address of an array of struct flatiommu_segment, which gets what a LOOKUP of the pin
 *		for the first of @functions writes
 * @out_length:	bytes that the segments written stand for; a LOOKUP has the rest
 *
 * All of the memory is made present, moved out of ZONE_MOVABLE and CMA, and does not move until
 * UNPIN, or until the last file descriptor of this open of the node is closed, be it by the death
 * of the process. It counts against RLIMIT_MEMLOCK of the caller, in whole pages, unless it has
 * CAP_IPC_LOCK. A huge page of hugetlb costs one pin.
 *
 * On a process's death files are closed in an order that nobody chose, and the functions may be
 * running. So before the memory pinned for a function is let go by closing the file, and before
 * the last memory pinned for it, by anybody, is let go by UNPIN, the function's bus mastering is
 * cleared and its pending transactions are waited for, unless a kernel driver has it. The same when
 * the function is removed: the memory stays pinned, and the pin is for it no more, nor for another
 * one that gets its address.
 *
 * With FLATIOMMU_PIN_VFIO the memory is as such that VFIO has mapped for the functions, but at no
 * IOVA: neither UNPIN nor closing the file stops a function. The functions are declared through
 * this file descriptor, the caller has taken them over through VFIO, and they share an address
 * space, that of their container or IOAS. This address space holds the memory until UNPIN or until
 * its own end, which comes when VFIO has closed, and so stopped and reset, all functions that are
 * in it, or iommufd has detached them or moved them elsewhere; those that join it later are
 * functions of the pin, too. The file holds the memory as well, as long as it is open. A call that
 * fails after segments were written leaves the memory to the address space. A module that does not
 * know the flag answers EOPNOTSUPP.
 *
 * With FLATIOMMU_PIN_NO_STOP none of this is so: the pin says where memory is and keeps it there,
 * and whoever uses the functions stops them. It is for a program that does not run them itself,
 * such as one that joins another program that does. A pin without it in the same file, of a page,
 * stops its functions before all of the file's memory is let go.
 *
 * Ioctl FLATIOMMU_PIN. Errors: EPERM the caller has not opened the node itself, or has lost
 * CAP_SYS_RAWIO, or another program has the function through VFIO and NO_STOP is not set, or, with
 * FLATIOMMU_PIN_VFIO, the caller has not; EINVAL @length, a range that wraps, @nr_functions, two
 * flags that exclude each other; EFAULT not mapped, not readable or, without
 * FLATIOMMU_PIN_READ_ONLY, not writable, or memory that cannot be pinned: of a device or, from Linux
 * 6.5 on, writable and shared with a file system that tracks changes; ENOMEM over RLIMIT_MEMLOCK;
 * ENODEV no such function, or segments were asked for and the first one was removed meanwhile, or,
 * with FLATIOMMU_PIN_VFIO, none that was declared; ENOENT (with FLATIOMMU_PIN_VFIO) the functions
 * share no address space; EOPNOTSUPP a bridge, or behind an external port; EALREADY an IOMMU
 * translates for it; EAFNOSUPPORT bus addresses do not suffice on this machine;
 * EPROTONOSUPPORT the function does not see what is in the processor's caches; EACCES the kernel is locked down; EBUSY the function is
 * being bound or unbound, try again, or finds memory at other addresses than when memory that is
 * still pinned for it was, or, but for x86, has no driver that it could be known from; ENOSPC too
 * many pins; ERANGE segments were asked for, and the first function has no bus address for the start
 * of the memory. Where the array of segments cannot be written, or the struct after it, the memory
 * is let go as by UNPIN, unless FLATIOMMU_PIN_VFIO was set.
 */
struct flatiommu_pin {
	__u32 size;
	__u32 flags;
	__u32 nr_functions;
	__u32 out_pin;
	__aligned_u64 functions;
	__aligned_u64 vaddr;
	__aligned_u64 length;
	__u32 nr_segments;
	__u32 reserved;
	__aligned_u64 segments;
	__aligned_u64 out_length;
};

#define FLATIOMMU_PIN_READ_ONLY 0x1
#define FLATIOMMU_PIN_VFIO	0x2
#define FLATIOMMU_PIN_NO_STOP	0x4

#define FLATIOMMU_PIN _IO(FLATIOMMU_TYPE, 0x83)

/**
 * struct flatiommu_unpin - let pinned memory go
 * @size:	sizeof(struct flatiommu_unpin)
 * @pin:	what PIN returned; it may name another pin after this
 *
 * See PIN for what happens to functions that have no other pin, unless FLATIOMMU_PIN_VFIO was set;
 * keep one while VFIO has the memory mapped. A LOOKUP of it that is under way in another thread
 * keeps all as it was until it ends.
 *
 * Ioctl FLATIOMMU_UNPIN. Errors: EPERM the caller has not opened the node itself; ENOENT no such
 * pin.
 */
struct flatiommu_unpin {
	__u32 size;
	__u32 pin;
};

#define FLATIOMMU_UNPIN _IO(FLATIOMMU_TYPE, 0x84)

/**
 * struct flatiommu_alloc - memory that a function can reach
 * @size:	sizeof(struct flatiommu_alloc)
 * @flags:	FLATIOMMU_ALLOC_CONTIGUOUS: at consecutive bus addresses, the first of them a
 *		multiple of the length, rounded up to a power of two, where they are physical ones.
 *		FLATIOMMU_ALLOC_THIS_NODE: on @node alone
 * @function:	the function
 * @address_bits: its bus addresses are below 2 to the power of it: 12 to 64
 * @node:	a NUMA node, where there is memory for it; -1: the function's
 * @length:	bytes, not 0; whole pages are taken
 * @out_fd:	a file descriptor of the memory, which exec closes
 * @reserved:	0
 *
 * From FLATIOMMU_VERSION 3 on. The memory is all zero, and is the kernel's: it is not swapped out
 * and does not move. mmap() of the file with MAP_SHARED has it, at an offset of pages from its
 * start. It is freed when the file descriptor, its duplicates in whatever process, and the maps are
 * gone. Whoever is passed the file descriptor can map it, and needs no privilege for that.
 *
 * No bus address comes with it: the memory is mapped with VFIO, or pinned by PIN, like any other,
 * and the addresses are looked up there. What is mapped or pinned so stays the function's after the
 * file and its maps are gone, until VFIO or UNPIN lets it go, with all that is said there of the
 * order; so the end of the file stops no function.
 *
 * It counts against RLIMIT_MEMLOCK of the caller, in whole pages, unless it has CAP_IPC_LOCK, once
 * for being there, and once more where VFIO or PIN counts it; and the caller's memory cgroup is
 * charged for it.
 *
 * The kernel takes it from its zones of low memory first. For widths between them (on x86 they are
 * of 24, 32 and 64 bits), and for more than its allocator has in one piece, it moves other memory
 * out of the way, which may take a while.
 *
 * Ioctl FLATIOMMU_ALLOC. Errors: EPERM, ENODEV, EOPNOTSUPP, EALREADY, EAFNOSUPPORT, EACCES and
 * EBUSY as of PIN; EINVAL @length, @address_bits, there is no such node, or -1 with
 * FLATIOMMU_ALLOC_THIS_NODE; ERANGE with less than 64 bits, and ENOMEM with 64: there is no such
 * memory, or not for the caller's cgroup, and none can be made free; ENOMEM, too, over
 * RLIMIT_MEMLOCK, or more than the machine has left (MemAvailable); EMFILE, ENFILE too many files.
 */
struct flatiommu_alloc {
	__u32 size;
	__u32 flags;
	struct flatiommu_function function;
	__u32 address_bits;
	__s32 node;
	__aligned_u64 length;
	__s32 out_fd;
	__u32 reserved;
};

#define FLATIOMMU_ALLOC_CONTIGUOUS	0x1
#define FLATIOMMU_ALLOC_THIS_NODE	0x2

#define FLATIOMMU_ALLOC _IO(FLATIOMMU_TYPE, 0x85)

/**
 * struct flatiommu_buffer - what memory is behind a file
 * @size:	sizeof(struct flatiommu_buffer)
 * @flags:	0
 * @out_length:	bytes, which do not change
 * @out_id:	names the memory: no other of ALLOC's has it, or had it since the module was loaded
 *
 * Ioctl FLATIOMMU_BUFFER of a file that ALLOC has made, by whoever has it. Other files answer
 * ENOTTY, mostly.
 */
struct flatiommu_buffer {
	__u32 size;
	__u32 flags;
	__aligned_u64 out_length;
	__aligned_u64 out_id;
};

#define FLATIOMMU_BUFFER _IO(FLATIOMMU_TYPE, 0x86)

#endif /* _LINUX_FLATIOMMU_H */
