/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * /dev/flatiommu: bus addresses of memory, for programs that drive PCI functions on a machine
 * without an IOMMU.
 *
 * A bus address is valid as long as the kernel does not move the memory, that is, while the memory
 * is pinned. There are two ways to pin memory and get its addresses:
 *
 * - through VFIO, for a function that flatiommu has claimed: DECLARE that this program looks bus
 *   addresses up for the function, map the memory with VFIO_IOMMU_MAP_DMA or IOMMU_IOAS_MAP at an
 *   IOVA of your choice, and LOOKUP that IOVA. VFIO pins until the unmap;
 * - without VFIO, for any function that no IOMMU translates: PIN the memory, and LOOKUP the pin.
 *
 * An address space is the memory of a program. An I/O address space is that of a container, an IOAS
 * or an HWPT: VFIO maps memory in it.
 *
 * Opening the node needs CAP_SYS_RAWIO (EPERM).
 *
 * Each call has a struct that begins with its own size in bytes, as the program was compiled.
 * The call returns E2BIG if the struct is longer than the kernel knows and the rest is not zero, or
 * longer than a page, and EINVAL if it is shorter than its first version. Members called reserved
 * and unknown flags must be zero (EOPNOTSUPP). An unknown call returns ENOTTY. The kernel writes
 * members called out_*, and others if their description says so. A call that fails has changed
 * nothing, unless its description says otherwise.
 *
 * Errors of any call besides its own:
 * EFAULT	the struct or an array cannot be read or written
 * ENOMEM	the kernel has no memory
 * EINTR	a fatal signal
 */
#ifndef _LINUX_FLATIOMMU_H
#define _LINUX_FLATIOMMU_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define FLATIOMMU_TYPE '>'

/* Version of this file. Raised when a program must ask whether an addition is there. */
#define FLATIOMMU_VERSION 6

/**
 * struct flatiommu_function - a PCI function, by its address
 * @segment:	PCI segment
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
 * @address:	the bus address, for the function
 * @length:	bytes
 * @flags:	FLATIOMMU_SEGMENT_MMIO: registers or memory of a device, not RAM
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
 * struct flatiommu_info - version of the module, and state of a function
 * @size:	sizeof(struct flatiommu_info)
 * @flags:	FLATIOMMU_INFO_FUNCTION: ask about @function. FLATIOMMU_INFO_GROUP: ask about the
 *		claimed function in the IOMMU group @group; @function is written. 0: ask about no
 *		function; @out_state and @out_wc_bars are 0
 * @function:	the function
 * @group:	number of an IOMMU group; written with FLATIOMMU_INFO_FUNCTION, -1 for none
 * @out_version: FLATIOMMU_VERSION of the module
 * @out_state:	FLATIOMMU_STATE_* of the function
 * @out_wc_bars: a bit for each BAR that its claim has made write-combined, bit 0 for BAR 0. VFIO
 *		maps these BARs write-combined. There is no bit for a BAR that was moved or resized
 *		since the claim
 *
 * Ioctl FLATIOMMU_INFO. Errors:
 * ENODEV	no such function
 * ENOENT	no claimed function is in the group
 * EINVAL	both flags
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

/* Nothing translates the function's DMA: the function needs bus addresses. */
#define FLATIOMMU_STATE_BUS_ADDRESSES	0x1
/* flatiommu has claimed it: VFIO and DECLARE work on it. */
#define FLATIOMMU_STATE_CLAIMED		0x2
/*
 * The function has an IOMMU, and needs IOVAs once VFIO has it: the calls below fail for it. This
 * includes an IOMMU in pass-through mode (iommu=pt), because VFIO ends that mode.
 */
#define FLATIOMMU_STATE_TRANSLATED	0x4
/* The function is declared through this file descriptor. */
#define FLATIOMMU_STATE_DECLARED	0x8
/*
 * Options of the function's claim, from FLATIOMMU_VERSION 5 on. The function's I/O address space
 * and pins are treated as with on_unmap=hold or on_refusal=fence, whatever these module parameters
 * are.
 */
#define FLATIOMMU_STATE_HOLD		0x10
#define FLATIOMMU_STATE_FENCE		0x20

#define FLATIOMMU_INFO _IO(FLATIOMMU_TYPE, 0x80)

/*
 * Lowest IOVA of look-up maps, 2^46. Any IOVA from here to 2^57 - 1 will do as well, if neither
 * memory nor a PCI window that the kernel knows of is there.
 *
 * - x86: no machine has memory from 2^46 on, not even memory that the kernel was told to leave
 *   alone (mem=, memmap=). mmap() returns addresses above 2^46, unless the stack has no limit.
 * - arm64: a machine may have memory from 2^46 on.
 */
#define FLATIOMMU_LOOKUP_FIRST 0x400000000000ull

/* Maximum number of functions in one call. */
#define FLATIOMMU_MAX_FUNCTIONS 64

/**
 * struct flatiommu_declare - declare that this program looks bus addresses up
 * @size:	sizeof(struct flatiommu_declare)
 * @flags:	0
 * @nr_functions: length of @functions, 1 to FLATIOMMU_MAX_FUNCTIONS
 * @reserved:	0
 * @functions:	address of an array of struct flatiommu_function, all of them claimed
 *
 * From now on the program may map memory at an IOVA that is not the memory's bus address, if
 *
 * - it has declared all functions of the I/O address space,
 * - no other program has such maps in the I/O address space,
 * - the IOVA range is not below FLATIOMMU_LOOKUP_FIRST, and
 * - neither memory nor a PCI window is at the IOVA range. So an IOVA that the program forgets to
 *   look up reaches nothing.
 *
 * For a program without a declaration, in the same container or elsewhere, such maps are refused as
 * before. With iommufd the declaration also covers all maps that the IOAS has at the time of
 * attach, and a page table (HWPT) accepts such maps while a function is attached to it.
 *
 * The declaration is for the address space that opened the node: fork, exec and passing the file
 * descriptor do not hand it on. It ends when the file is closed or the claim is released. Maps that
 * exist then stay and can be unmapped, but not looked up. Declaring a function twice changes
 * nothing.
 *
 * Ioctl FLATIOMMU_DECLARE. Errors:
 * EPERM	the caller has not opened the node itself, or has lost CAP_SYS_RAWIO
 * ENODEV	no such function
 * ENOENT	the function is not claimed
 * EPROTONOSUPPORT	the function does not see the processor's caches
 * EACCES	the kernel is locked down
 * EINVAL	@nr_functions is 0 or too large
 * ENOSPC	64 other programs have declared the function, and the caller has not taken it over
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
 * struct flatiommu_lookup - bus addresses of mapped or pinned memory
 * @size:	sizeof(struct flatiommu_lookup)
 * @flags:	FLATIOMMU_LOOKUP_PIN: look @pin up. 0: look an IOVA up
 * @function:	the function that will use the addresses; a declared one, or one that the pin is for
 * @pin:	the number that PIN returned, or 0
 * @nr_segments: length of @segments, not 0; set to the number written
 * @start:	an IOVA, or bytes from the start of the pinned memory; any alignment
 * @length:	bytes, not 0; set to the bytes that the segments cover, from @start on
 * @segments:	address of an array of struct flatiommu_segment; each is as long as possible
 *
 * The call may cover less than @length: the array was full, or the next byte is not mapped. Call
 * again for the rest.
 *
 * - If a range is mapped or unmapped during the call, the result is that of some moment during the
 *   call.
 * - The call does not see maps of other programs.
 * - If several programs have mapped memory at bus addresses in one I/O address space, the call sees
 *   none of these maps.
 *
 * Ioctl FLATIOMMU_LOOKUP. A call that fails may have written part of the array. Errors:
 * ENOENT	nothing is mapped at @start, or @start is after the end of the pin, or no such pin
 * ENODEV	the function is not declared through this file descriptor, or the pin is not for it,
 *		or the function that the pin is for was removed
 * EPERM	the caller has not opened the node itself
 * EINVAL	@length or @nr_segments is 0, or the range wraps
 * ERANGE	(of a pin) the function has no bus address for the memory
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
 * @flags:	FLATIOMMU_PIN_READ_ONLY: the functions will not write to the memory. Without an
 *		IOMMU nothing stops them from writing; data that they write to a file's page is not
 *		saved.
 *		FLATIOMMU_PIN_VFIO: the memory is given back like memory that VFIO has mapped, see
 *		below.
 *		FLATIOMMU_PIN_NO_STOP: the functions are not stopped before this memory is given
 *		back; not with FLATIOMMU_PIN_VFIO
 *		FLATIOMMU_PIN_DMABUF: the memory is that of @dmabuf
 * @nr_functions: length of @functions, 1 to FLATIOMMU_MAX_FUNCTIONS
 * @out_pin:	number of the pin, for calls through this file descriptor; not 0
 * @functions:	address of an array of struct flatiommu_function: all functions that will use the
 *		addresses
 * @vaddr:	the memory, in the caller's address space, or its offset in @dmabuf; any alignment
 * @length:	bytes, not 0
 * @nr_segments: length of @segments, set to the number written; 0: no segments are wanted. This and
 *		the members after it exist from FLATIOMMU_VERSION 2 on
 * @reserved:	0
 * @segments:	address of an array of struct flatiommu_segment: gets the segments that a LOOKUP of
 *		the pin returns for the first of @functions
 * @out_length:	bytes that the segments cover; LOOKUP returns the rest
 * @dmabuf:	with FLATIOMMU_PIN_DMABUF, a file descriptor, which may be closed after the call;
 *		else 0. This and the member after it exist from FLATIOMMU_VERSION 6 on
 * @reserved_2:	0
 *
 * All of the memory is made present, moved out of ZONE_MOVABLE and CMA, and does not move until
 * UNPIN, or until the last file descriptor of this open of the node is closed, for example by the
 * death of the process. It counts against RLIMIT_MEMLOCK of the caller, in whole pages, unless the
 * caller has CAP_IPC_LOCK.
 *
 * The kernel closes the files of a dying process in any order, and the functions may be doing DMA.
 * So before pinned memory is given back, the kernel clears the function's bus mastering and waits
 * for its pending transactions, unless a kernel driver has the function:
 *
 * - when the file is closed: for each function that the file has memory pinned for;
 * - at UNPIN: when it is the last pin of the function, of all programs.
 *
 * When a function is removed, the kernel stops it in the same way. The memory stays pinned until
 * UNPIN or the close of the file. But the pin is not for the function any more, nor for another
 * function that gets the same address: LOOKUP returns ENODEV.
 *
 * With FLATIOMMU_PIN_VFIO the memory is treated like memory that VFIO has mapped for the functions,
 * but it is at no IOVA: neither UNPIN nor closing the file stops a function.
 *
 * - The functions are declared through this file descriptor, the caller has taken them over through
 *   VFIO, and they share an I/O address space.
 * - This I/O address space keeps the memory pinned until UNPIN or until its own end. It ends when
 *   VFIO has closed all functions in it, and so stopped and reset them, or when iommufd has
 *   detached them or moved them elsewhere; one of IOMMU_HWPT_ALLOC, when the program destroys it.
 *   The pin is also for functions that join the I/O address space later.
 * - The file keeps the memory pinned as well, as long as it is open.
 * - A function is removed after VFIO has closed it. The I/O address space and the file then keep
 *   the memory pinned as before.
 * - If the call fails after segments were written, the I/O address space keeps the memory pinned.
 * - A module that does not know the flag returns EOPNOTSUPP.
 *
 * With FLATIOMMU_PIN_DMABUF the memory is that of a dma-buf. Pages of a mapping of a dma-buf cannot
 * be pinned.
 *
 * - The exporter is any driver that gives memory of the machine to devices in general, such as
 *   udmabuf and the dma-heaps.
 * - The exporter keeps all memory of the dma-buf where it is until the pin ends. The
 *   memory does not count against RLIMIT_MEMLOCK. The attachment and its table of addresses do,
 *   also while the pin is held after UNPIN: a page for each, or more for a long table.
 * - @dmabuf is open for writing, unless FLATIOMMU_PIN_READ_ONLY is set.
 * - The call does not wait until other devices have finished with the memory, and adds no
 *   dma_fence.
 * - With FLATIOMMU_PIN_VFIO the memory may be given back shortly after UNPIN.
 *
 * With FLATIOMMU_PIN_NO_STOP the pin only keeps the memory in place and returns its addresses: the
 * program that drives the functions stops them. The flag is for a program that does not drive them
 * itself, such as a secondary process. If the same file has a pin without the flag, for example of
 * one page, that pin stops its functions before any memory of the file is given back.
 *
 * Ioctl FLATIOMMU_PIN. If the array of segments or the struct cannot be written, the memory is
 * given back as by UNPIN, unless FLATIOMMU_PIN_VFIO is set. Errors:
 * EPERM	the caller has not opened the node itself, or has lost CAP_SYS_RAWIO; or another
 *		program has the function through VFIO, unless FLATIOMMU_PIN_NO_STOP is set; or, with
 *		FLATIOMMU_PIN_VFIO, the caller has not taken the function over
 * EINVAL	@length is 0, @nr_functions is 0 or too large, the range wraps, two flags exclude
 *		each other, or @dmabuf is no dma-buf or not in the struct, by its size
 * EFAULT	the memory is not mapped, not readable or, without FLATIOMMU_PIN_READ_ONLY, not
 *		writable; or it cannot be pinned: memory of a device or, from Linux 6.5 on, writable
 *		memory shared with a file system that tracks changes; or the dma-buf is shorter, or
 *		not open for writing, or its exporter gives its memory to some devices only, or it
 *		is no memory of the machine, such as registers of a device
 * EBADF	@dmabuf is not open
 * EINTR	with FLATIOMMU_PIN_DMABUF, also: a signal, while the exporter was moving the memory
 * ENOMEM	over RLIMIT_MEMLOCK
 * ENODEV	no such function; or segments are wanted, and the first function was removed
 *		meanwhile; or, with FLATIOMMU_PIN_VFIO, the function is not declared
 * ENOENT	with FLATIOMMU_PIN_VFIO: the functions share no I/O address space
 * EOPNOTSUPP	the function is a bridge, or behind an external port; or this kernel has no dma-bufs
 * EALREADY	an IOMMU translates for the function
 * EAFNOSUPPORT	bus addresses are not enough on this machine
 * EPROTONOSUPPORT	the function does not see the processor's caches
 * EACCES	the kernel is locked down
 * EBUSY	(1) the function is being bound or unbound: try again; (2) it sees memory
 *		differently than for an earlier pin that still exists; (3) not on x86: it has no
 *		driver
 * ENOSPC	too many pins
 * ERANGE	segments are wanted, and the first function has no bus address for the start of the
 *		memory
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
	__s32 dmabuf;
	__u32 reserved_2;
};

#define FLATIOMMU_PIN_READ_ONLY 0x1
#define FLATIOMMU_PIN_VFIO	0x2
#define FLATIOMMU_PIN_NO_STOP	0x4
#define FLATIOMMU_PIN_DMABUF	0x8

#define FLATIOMMU_PIN _IO(FLATIOMMU_TYPE, 0x83)

/**
 * struct flatiommu_unpin - end a pin
 * @size:	sizeof(struct flatiommu_unpin)
 * @pin:	the number that PIN returned; a later PIN may return it again
 *
 * Stops functions for which this was the last pin, as PIN describes, unless the pin has
 * FLATIOMMU_PIN_VFIO or FLATIOMMU_PIN_NO_STOP. A program that goes on with DMA through VFIO's maps
 * must keep one pin. If another thread is in a LOOKUP of the pin, the pin ends after the LOOKUP.
 *
 * Ioctl FLATIOMMU_UNPIN. Errors:
 * EPERM	the caller has not opened the node itself
 * ENOENT	no such pin
 */
struct flatiommu_unpin {
	__u32 size;
	__u32 pin;
};

#define FLATIOMMU_UNPIN _IO(FLATIOMMU_TYPE, 0x84)

/**
 * struct flatiommu_alloc - memory that a function can reach
 * @size:	sizeof(struct flatiommu_alloc)
 * @flags:	FLATIOMMU_ALLOC_CONTIGUOUS: memory at consecutive bus addresses. If bus addresses
 *		are physical addresses, the first one is a multiple of the length, rounded up to a
 *		power of two.
 *		FLATIOMMU_ALLOC_THIS_NODE: memory of @node only
 * @function:	the function
 * @address_bits: all bus addresses have at most this many bits: 12 to 64
 * @node:	the preferred NUMA node; -1: the function's node
 * @length:	bytes, not 0; the memory has whole pages
 * @out_fd:	a file descriptor of the memory, with close-on-exec
 * @reserved:	0
 *
 * From FLATIOMMU_VERSION 3 on. The memory is all zero and belongs to the kernel: it is not swapped
 * out and does not move. The program maps the file with MAP_SHARED, at an offset of whole pages.
 * The memory is freed when the file descriptor, its duplicates in all processes, and the mappings
 * are gone. A process that gets the file descriptor from another one can map it without privilege.
 *
 * The call returns no bus address: map the memory with VFIO, or PIN it, like other memory, and look
 * its addresses up. Memory that is mapped with VFIO or pinned outlives the file and its mappings,
 * until VFIO or UNPIN gives it back, as PIN describes. So the end of the file stops no function.
 *
 * The memory counts against RLIMIT_MEMLOCK of the caller, in whole pages, unless the caller has
 * CAP_IPC_LOCK: once for the allocation, and once more if VFIO or PIN counts it. It also counts in
 * the caller's memory cgroup.
 *
 * The kernel first takes memory from its zones, which have 24, 32 and 64 address bits on x86. For
 * other numbers of bits, and for more memory than its allocator has in one piece, it moves other
 * memory away, which may need some time.
 *
 * Ioctl FLATIOMMU_ALLOC. Errors:
 * EPERM	the caller has not opened the node itself, or has lost CAP_SYS_RAWIO, or another
 *		program has the function through VFIO
 * EINVAL	@length is 0, @address_bits is out of range, there is no such node, or @node is -1
 *		with FLATIOMMU_ALLOC_THIS_NODE
 * ENODEV	no such function
 * EOPNOTSUPP	the function is a bridge, or behind an external port
 * EALREADY	an IOMMU translates for the function
 * EAFNOSUPPORT	bus addresses are not enough on this machine
 * EPROTONOSUPPORT	the function does not see the processor's caches
 * EACCES	the kernel is locked down
 * EBUSY	as for PIN
 * ERANGE	with fewer than 64 bits: such memory is not free, or the caller's cgroup may not
 *		have it, and none can be made free
 * ENOMEM	with 64 bits: the same; or over RLIMIT_MEMLOCK; or more than MemAvailable
 * EMFILE, ENFILE	too many files
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
 * struct flatiommu_buffer - the memory behind a file
 * @size:	sizeof(struct flatiommu_buffer)
 * @flags:	0
 * @out_length:	bytes; never changes
 * @out_id:	number of the memory, unique among all memory of ALLOC since the module was loaded
 *
 * Call it on a file that ALLOC has returned; it needs no privilege. Other files mostly return
 * ENOTTY.
 *
 * Ioctl FLATIOMMU_BUFFER. It has no errors of its own.
 */
struct flatiommu_buffer {
	__u32 size;
	__u32 flags;
	__aligned_u64 out_length;
	__aligned_u64 out_id;
};

#define FLATIOMMU_BUFFER _IO(FLATIOMMU_TYPE, 0x86)

/**
 * struct flatiommu_event - an event of a claimed function
 * @function:	the function
 * @type:	FLATIOMMU_EVENT_*
 * @pid:	the process that caused it, in the initial pid namespace
 * @time:	CLOCK_BOOTTIME, in nanoseconds
 * @at:		of a map, an unmap or a refusal: the first IOVA; of a pin or an unpin: the virtual
 *		address in the program that pinned, or the offset in the dma-buf. 0: there is none,
 *		or the caller may not see it
 * @address:	physical address of the memory. 0: as for @at
 * @length:	bytes, or 0
 * @process:	name of the process, which ends with a zero byte
 */
struct flatiommu_event {
	struct flatiommu_function function;
	__u32 type;
	__s32 pid;
	__aligned_u64 time;
	__aligned_u64 at;
	__aligned_u64 address;
	__aligned_u64 length;
	char process[16];
};

/* Memory was mapped or unmapped in the I/O address space that the function was attached to last. */
#define FLATIOMMU_EVENT_MAP	1
#define FLATIOMMU_EVENT_UNMAP	2
/* A map was refused. The program may use the IOVA as a bus address all the same. */
#define FLATIOMMU_EVENT_REFUSE	3
/* Memory was pinned by FLATIOMMU_PIN, or was unpinned: given back, or held. */
#define FLATIOMMU_EVENT_PIN	4
#define FLATIOMMU_EVENT_UNPIN	5
/* Bus mastering was cleared after a map was refused or failed, or by on_hold_full=fence. */
#define FLATIOMMU_EVENT_FENCE	6
/*
 * Bus mastering was cleared at the end of a pin, or when the function was detached or, on some
 * kernels, reset.
 */
#define FLATIOMMU_EVENT_STOP	7
/*
 * A program attached the function to an I/O address space, or the function was detached. From Linux
 * 7.0 on, a reset of a function with ATS is recorded as a detach and an attach.
 */
#define FLATIOMMU_EVENT_ATTACH	8
#define FLATIOMMU_EVENT_DETACH	9
/*
 * HOLD: memory that was unmapped or unpinned is held from now on. RELEASE: it is not held any more.
 * HOLD comes after the UNMAP or UNPIN: until RELEASE nobody but the program has the memory. From
 * FLATIOMMU_VERSION 5 on.
 */
#define FLATIOMMU_EVENT_HOLD	10
#define FLATIOMMU_EVENT_RELEASE	11

/**
 * struct flatiommu_history - the latest events of a claimed function
 * @size:	sizeof(struct flatiommu_history)
 * @flags:	0
 * @function:	the function
 * @nr_events:	length of @events, not 0; set to the number written
 * @out_size:	maximum number of events that are kept of the function
 * @first:	number of the first event that is wanted; set to the number of the first one that
 *		was written, which is higher if the wanted one is not kept any more. The first event
 *		since the claim has the number 0
 * @events:	address of an array of struct flatiommu_event; gets the events in the order in which
 *		they were recorded, without a gap
 *
 * From FLATIOMMU_VERSION 4 on. The module parameter history= is the number of events that are kept
 * of each function that is claimed from then on. Each map is an event, and each run of a pin: pages
 * that follow each other in memory. Events are kept until the claim ends, also when the program has
 * died. To get all of them, call until no event is written, and add the number written to @first
 * each time.
 *
 * The addresses are 0 unless the caller has CAP_SYS_ADMIN.
 *
 * Ioctl FLATIOMMU_HISTORY. A call that fails may have written part of the array. Errors:
 * EPERM	the caller has not opened the node itself, or has lost CAP_SYS_RAWIO
 * EINVAL	@nr_events is 0
 * ENODEV	no such function
 * ENOENT	the function is not claimed
 * ENODATA	no events are kept of the function
 */
struct flatiommu_history {
	__u32 size;
	__u32 flags;
	struct flatiommu_function function;
	__u32 nr_events;
	__u32 out_size;
	__aligned_u64 first;
	__aligned_u64 events;
};

#define FLATIOMMU_HISTORY _IO(FLATIOMMU_TYPE, 0x87)

/**
 * struct flatiommu_who - events of all claimed functions that concern a physical address
 * @size:	sizeof(struct flatiommu_who)
 * @flags:	0
 * @nr_events:	length of @events, not 0; set to the number written
 * @reserved:	0
 * @address:	physical address of the first byte
 * @length:	bytes, not 0
 * @events:	address of an array of struct flatiommu_event. It gets, for each function, the maps,
 *		unmaps, pins, unpins, holds and releases of this memory, and the refused maps of
 *		this memory or at an IOVA that has this number, in the order in which they were
 *		recorded
 * @out_events:	number of such events; if it is larger than @nr_events, the rest was not written
 * @out_since:	events before this time may have been lost, CLOCK_BOOTTIME in nanoseconds; 0: none
 *		was lost
 *
 * From FLATIOMMU_VERSION 4 on.
 *
 * Ioctl FLATIOMMU_WHO. A call that fails may have written part of the array. Errors:
 * EPERM	the caller has not opened the node itself, has lost CAP_SYS_RAWIO, or does not have
 *		CAP_SYS_ADMIN
 * EINVAL	@nr_events or @length is 0, or the range wraps
 * ENODATA	no claimed function has events that are kept
 */
struct flatiommu_who {
	__u32 size;
	__u32 flags;
	__u32 nr_events;
	__u32 reserved;
	__aligned_u64 address;
	__aligned_u64 length;
	__aligned_u64 events;
	__aligned_u64 out_events;
	__aligned_u64 out_since;
};

#define FLATIOMMU_WHO _IO(FLATIOMMU_TYPE, 0x88)

/**
 * struct flatiommu_quiet - give back memory that is held
 * @size:	sizeof(struct flatiommu_quiet)
 * @flags:	0
 * @out_length:	bytes that were held until now
 * @nr_functions: length of @functions, at most FLATIOMMU_MAX_FUNCTIONS; 0: all functions of the
 *		program are quiet
 * @reserved:	0
 * @functions:	address of an array of struct flatiommu_function: only these functions are quiet.
 *		Memory is given back of I/O address spaces to which no other function is attached,
 *		and of pins that are for no other function. A function that iommufd has detached
 *		counts as attached until it is closed or attached elsewhere
 *
 * From FLATIOMMU_VERSION 5 on. With the module parameter on_unmap=hold, or the option hold of a
 * claim, memory that is unmapped or unpinned is held until the functions cannot be writing to it
 * any more. With this call the program says that its functions no longer use any memory that it has
 * unmapped or unpinned so far, and the memory is given back. Memory that another program has
 * unmapped stays held, and so does all memory that is held of an I/O address space in which another
 * program has unmapped some of it.
 *
 * Memory that is held counts against RLIMIT_MEMLOCK.
 *
 * Ioctl FLATIOMMU_QUIET. If the struct cannot be written, the memory was given back all the same.
 * Errors:
 * EPERM	the caller has not opened the node itself, or has lost CAP_SYS_RAWIO
 * EINVAL	@nr_functions is too large
 * ENODEV	no such function
 */
struct flatiommu_quiet {
	__u32 size;
	__u32 flags;
	__aligned_u64 out_length;
	__u32 nr_functions;
	__u32 reserved;
	__aligned_u64 functions;
};

#define FLATIOMMU_QUIET _IO(FLATIOMMU_TYPE, 0x89)

#endif /* _LINUX_FLATIOMMU_H */
