/* SPDX-License-Identifier: MIT */
/*
 * libflatiommu: one way to write a userspace PCI driver, with or without an IOMMU.
 *
 * A context (struct flatiommu) is one I/O address space: devices that are opened in it, and buffers
 * that all of them reach. The library finds out whether an IOMMU is there when the first device is
 * opened. The program sees the difference in one place only: the number of segments of bus
 * addresses that a buffer has.
 *
 *	flatiommu_open(&flat);
 *	flatiommu_device_open(flat, "0000:00:06.0", &device);
 *	flatiommu_dma_alloc(flat, 1 << 20, NULL, &dma);
 *	flatiommu_bar_map(device, 0, 0, 0, 0, &registers);
 *	flatiommu_bus_master(device, true);
 *	flatiommu_write64((char *)registers + ADDRESS, flatiommu_dma_address(dma, 0));
 *
 * Functions return 0 or the value that their description names, or -errno. A function that fails
 * has changed nothing, unless its description says otherwise. flatiommu_reason() and the log hook
 * say why it failed and what to do about it, except for functions without a context and for the
 * data path. Functions never print, exit or abort. Outside the context they keep only the reason of
 * a thread's failure, and the handler of flatiommu_sigbus_install(). Results are written on success
 * only. A NULL pointer for a result, a context, a device or a buffer is an error (-EINVAL), unless
 * the description allows it.
 *
 * Threads: any thread may call any function at any time, as long as no thread uses an object that
 * another one closes or frees. No thread is cancelled within a call. A signal handler must not call
 * the library, except for the data path: the thread may have a lock that the call would wait for.
 * Calls wait for long operations of other threads only in these cases:
 * - Calls that open, close, quiet or reset devices of a context wait for each other.
 * - Calls that change a device or its BARs wait for its reset.
 * - With noiommu-group, calls that make and free buffers wait for both.
 * Functions of the "data path" below take no lock and do not enter the kernel.
 *
 * fork(): in the child every call with the context, a device or a buffer fails with -ECHILD, and
 * flatiommu_close() only frees the child's copies. Only functions of the data path answer as they
 * did at the fork. Mapped BARs are not in the child, nor is memory that was allocated, unless it
 * is shared. Memory that was imported is shared, that of a dma-buf too.
 *
 * Errors that every function may return besides its own:
 * -ENOMEM	no memory
 * -EINVAL	an argument is none of those described
 * -EOPNOTSUPP	flags or options that this library does not know
 * -ECHILD	the process was forked from the one that opened the context
 * In rare cases that are not named here, a function returns the error of a system call.
 */
#ifndef FLATIOMMU_H
#define FLATIOMMU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <flatiommu/mmio.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The version of this header. flatiommu_library_version() returns that of the running library. */
#define LIBFLATIOMMU_VERSION_MAJOR	0
#define LIBFLATIOMMU_VERSION_MINOR	1
#define LIBFLATIOMMU_VERSION_PATCH	0
#define LIBFLATIOMMU_VERSION_CODE(major, minor, patch) \
	((major) * 1000000 + (minor) * 1000 + (patch))
#define LIBFLATIOMMU_VERSION \
	LIBFLATIOMMU_VERSION_CODE(LIBFLATIOMMU_VERSION_MAJOR, LIBFLATIOMMU_VERSION_MINOR, \
				  LIBFLATIOMMU_VERSION_PATCH)

/*
 * Structures of the program, which it fills in or which the library fills in, never change their
 * size. New members come from @reserved:
 * - The program sets @reserved to 0. A library returns -EOPNOTSUPP for a value there, and for a
 *   flag, that it does not know.
 * - A library sets members that it does not know to 0.
 * - Options that are all 0 mean the same as NULL.
 * Structures that the library makes may grow.
 */

#ifndef FLATIOMMU_API
#define FLATIOMMU_API __attribute__((visibility("default")))
#endif

struct flatiommu;
struct flatiommu_device;

/* The context. */

/**
 * flatiommu_open() - makes an empty context
 * @flat: the context, to be closed with flatiommu_close()
 *
 * The environment variable FLATIOMMU_BACKEND forces the backend of the first device. Its value is
 * one of the names in flatiommu(7), except "imported". With any other value flatiommu_device_open()
 * fails.
 *
 * Errors: -ENOMEM.
 */
FLATIOMMU_API int flatiommu_open(struct flatiommu **flat);

/**
 * struct flatiommu_options - options of a context
 * @backend: name of the backend to use, as flatiommu_backend() returns it, but not "imported"; it
 *	overrides FLATIOMMU_BACKEND. NULL: the backend of FLATIOMMU_BACKEND, or the first that works
 * @flags: 0
 * @reserved: 0
 */
struct flatiommu_options {
	const char *backend;
	uint64_t flags;
	uint64_t reserved[6];
};

/**
 * flatiommu_open_with() - flatiommu_open() with options
 * @options: the options, or NULL
 *
 * Errors: as flatiommu_open(), and -EOPNOTSUPP flags or reserved is not 0.
 */
FLATIOMMU_API int flatiommu_open_with(const struct flatiommu_options *options,
				      struct flatiommu **flat);

/** flatiommu_library_version() - version of the library that runs, such as "0.1.0" */
FLATIOMMU_API const char *flatiommu_library_version(void);

/**
 * flatiommu_close() - closes a context with all its devices and buffers
 * @flat: the context, or NULL
 *
 * Stops all devices first, then frees the memory.
 */
FLATIOMMU_API void flatiommu_close(struct flatiommu *flat);

/**
 * flatiommu_reason() - message of this thread's most recent failed call in the context
 *
 * A line for a person, without a newline: the step that failed, with which device or memory, and
 * the cure. "" if no call of this thread has failed yet. It stays valid until the next failure in
 * this thread.
 */
FLATIOMMU_API const char *flatiommu_reason(struct flatiommu *flat);

/* Levels of the log's lines. */
enum flatiommu_log {
	FLATIOMMU_LOG_ERROR,	/* the reason of a call that failed, or that did only a part */
	/* An attempt failed and another one succeeded, or a capability was not found. */
	FLATIOMMU_LOG_NOTE,
};

/**
 * flatiommu_set_log() - sets a function that is called with each reason
 * @log: called with @arg, the level and the line, in the thread that fails and before its call
 *	returns. It must not call the library, and other threads may wait for it. NULL: none
 *
 * It is also called for attempts that fail before another one succeeds. Set it before other threads
 * use the context.
 */
FLATIOMMU_API void flatiommu_set_log(struct flatiommu *flat,
				     void (*log)(void *arg, enum flatiommu_log level,
						 const char *line),
				     void *arg);

/**
 * flatiommu_backend() - name of the interface that the context uses
 *
 * For example "iommu-type1" or "flatiommu-iommufd": flatiommu(7) lists all names. "" while no
 * device is open or kept for the buffers.
 */
FLATIOMMU_API const char *flatiommu_backend(const struct flatiommu *flat);

/** flatiommu_backend_reason() - a line that says why the context has this backend, or "" */
FLATIOMMU_API const char *flatiommu_backend_reason(const struct flatiommu *flat);

/**
 * flatiommu_isolated() - does an IOMMU confine the devices to the buffers?
 *
 * If not, a device that gets a wrong address can write to any memory of the machine. Returns false
 * for imported devices, too, because the library cannot tell. Returns true for a device that
 * bypasses the IOMMU in front of it, such as a virtio device without VIRTIO_F_ACCESS_PLATFORM.
 */
FLATIOMMU_API bool flatiommu_isolated(const struct flatiommu *flat);

/* PCI functions of the machine, without a context. */

/* Flags of struct flatiommu_function_info. */
#define FLATIOMMU_FUNCTION_CLAIMED	0x1	/* flatiommu.ko has a claim of it */
#define FLATIOMMU_FUNCTION_ISOLATED	0x2	/* an IOMMU is in front of it */
#define FLATIOMMU_FUNCTION_NOIOMMU	0x4	/* Linux's no-IOMMU mode has it */
#define FLATIOMMU_FUNCTION_VF		0x8

/**
 * struct flatiommu_function_info - properties of a PCI function
 * @name: its full address, 0000:00:06.0
 * @driver: the driver that it is bound to, "": none
 * @pf: address of the physical function of a virtual function, "": it is no virtual function
 * @class_code: base class, subclass and programming interface, 8 bits each
 * @vendor, @device: its ID
 * @subsystem_vendor, @subsystem_device: the ID of its card
 * @flags: FLATIOMMU_FUNCTION_*
 * @group: number of its IOMMU group, -1: none
 * @node: nearest NUMA node, -1: none
 * @nr_vfs: virtual functions that it has now
 * @reserved_32: 0
 * @reserved: 0
 */
struct flatiommu_function_info {
	char name[32];
	char driver[32];
	char pf[32];
	uint32_t class_code;
	uint16_t vendor;
	uint16_t device;
	uint16_t subsystem_vendor;
	uint16_t subsystem_device;
	uint32_t flags;
	int32_t group;
	int32_t node;
	uint32_t nr_vfs;
	uint32_t reserved_32;
	uint64_t reserved[8];
};

/**
 * flatiommu_function_get_info() - gets properties of a function, whichever driver it has
 * @bdf: its address, as for flatiommu_device_open(), without a VF token
 *
 * Needs no privilege and reads only sysfs. Does not wait for a bind or unbind of the function, nor
 * for a program that has it open.
 *
 * Errors: -EINVAL @bdf is no PCI address; -ENODEV no such function.
 */
FLATIOMMU_API int flatiommu_function_get_info(const char *bdf,
					      struct flatiommu_function_info *info);

/**
 * struct flatiommu_match - selects functions; a member that is 0 or NULL is ignored
 * @class_code: the function has this class, in the bits that are set in @class_mask
 * @class_mask: 0xff0000 for the base class, 0xffff00 with the subclass, 0xffffff for all of it
 * @vendor: vendor ID
 * @device: device ID
 * @flags: FLATIOMMU_FUNCTION_*: the function has all of these flags
 * @pf: address of a physical function: selects its virtual functions
 * @driver: name of the driver
 * @reserved: 0
 */
struct flatiommu_match {
	uint32_t class_code;
	uint32_t class_mask;
	uint16_t vendor;
	uint16_t device;
	uint32_t flags;
	const char *pf;
	const char *driver;
	uint64_t reserved[4];
};

/**
 * flatiommu_function_list() - functions of the machine, in the order of their addresses
 * @match: the selection, or NULL: all functions
 * @functions: an array, to be freed with flatiommu_function_list_free()
 * @count: length of the array, maybe 0
 *
 * Needs no privilege and does not wait, as flatiommu_function_get_info(). A function that is
 * removed meanwhile is left out.
 *
 * Errors: -EINVAL @match->pf is no PCI address; -EOPNOTSUPP unknown flags, or reserved is not 0.
 */
FLATIOMMU_API int flatiommu_function_list(const struct flatiommu_match *match,
					  struct flatiommu_function_info **functions,
					  size_t *count);

/** flatiommu_function_list_free() - frees an array of flatiommu_function_list(), or NULL */
FLATIOMMU_API void flatiommu_function_list_free(struct flatiommu_function_info *functions);

/* Kinds of struct flatiommu_monitor_event. */
enum flatiommu_monitor_kind {
	FLATIOMMU_MONITOR_ADDED = 1,
	FLATIOMMU_MONITOR_REMOVED,
	FLATIOMMU_MONITOR_BOUND,
	FLATIOMMU_MONITOR_UNBOUND,
};

/**
 * struct flatiommu_monitor_event - what happened to a function
 * @kind: FLATIOMMU_MONITOR_*
 * @class_code, @vendor, @device: as in struct flatiommu_function_info
 * @reserved_32: 0
 * @name: its full address
 * @driver: name of the driver with FLATIOMMU_MONITOR_BOUND, else ""
 * @reserved: 0
 */
struct flatiommu_monitor_event {
	uint32_t kind;
	uint32_t class_code;
	uint16_t vendor;
	uint16_t device;
	uint32_t reserved_32;
	char name[32];
	char driver[32];
	uint64_t reserved[4];
};

/**
 * flatiommu_monitor_open() - reports functions that come, go, are bound and unbound
 *
 * Returns a file descriptor that can be polled: it is readable when there may be an event. It does
 * not block, is closed at execve(), and the caller closes it. Needs no privilege. In a network
 * namespace of a user namespace the kernel reports nothing.
 *
 * Open it first and list functions after that: then no function is missed.
 */
FLATIOMMU_API int flatiommu_monitor_open(void);

/**
 * flatiommu_monitor_read() - reads an event
 * @monitor: from flatiommu_monitor_open()
 *
 * Errors:
 * -EAGAIN	there is no event
 * -EOVERFLOW	events were lost, because the program did not read them in time: list the functions
 *		again
 * -EBADF, -ENOTSOCK	@monitor is not from flatiommu_monitor_open()
 */
FLATIOMMU_API int flatiommu_monitor_read(int monitor, struct flatiommu_monitor_event *event);

/* Devices. */

/**
 * flatiommu_device_open() - opens a PCI function that is bound to vfio-pci
 * @bdf: its address, 0000:00:06.0 or, without the PCI segment, 00:06.0. A VF token may follow:
 *	"0000:01:00.1 vf_token=UUID"
 * @device: the device, to be closed with flatiommu_device_close()
 *
 * The kernel resets the function if it can. Bus mastering is off, memory and port I/O are on.
 *
 * If a physical function is bound to vfio-pci, its virtual functions open only with the token that
 * the physical function was opened with. Without a token in @bdf the library uses the environment
 * variable FLATIOMMU_VF_TOKEN. Functions that need no token ignore it.
 *
 * Errors:
 * -EINVAL	@bdf is no PCI address, the token is no UUID, or FLATIOMMU_BACKEND is no backend
 * -ENODEV	no such function
 * -ENXIO	it is not bound to vfio-pci
 * -EOPNOTSUPP	no backend is possible for it, or the forced one is not
 * -EXDEV	it needs another backend than the devices that are open in this context, or cannot
 *		share their buffers
 * -EBUSY	it is open already, in this context or elsewhere
 * -ENOENT	/dev/flatiommu or /dev/vfio/vfio is missing
 * -EPERM, -EACCES	the process may not; interrupts are not safe, and VFIO was not told to
 *		accept that; functions of its group have other drivers; or the kernel is locked down
 * -ENOKEY	it needs a VF token
 * -EKEYREJECTED	it needs another VF token
 * -EIO		it does not answer
 */
FLATIOMMU_API int flatiommu_device_open(struct flatiommu *flat, const char *bdf,
					struct flatiommu_device **device);

/**
 * struct flatiommu_device_options - options for opening a device
 * @vf_token: a UUID, or NULL: the value of FLATIOMMU_VF_TOKEN, if it is set
 * @flags: 0
 * @reserved: 0
 */
struct flatiommu_device_options {
	const char *vf_token;
	uint64_t flags;
	uint64_t reserved[6];
};

/**
 * flatiommu_device_open_with() - flatiommu_device_open() with options
 * @bdf: its address, without a VF token
 * @options: the options, or NULL
 */
FLATIOMMU_API int flatiommu_device_open_with(struct flatiommu *flat, const char *bdf,
					     const struct flatiommu_device_options *options,
					     struct flatiommu_device **device);

/**
 * flatiommu_device_close() - stops the device and gives it back
 * @device: the device, or NULL
 *
 * Interrupts and mappings of its regions end. Bus mastering is cleared, and the kernel resets the
 * function if it can. Buffers stay, with the same addresses, for other devices of the context, also
 * later ones. So while there are buffers, the last device is stopped but kept. Its
 * FLATIOMMU_IRQ_REQUEST then still signals: the program should free the buffers.
 *
 * Returns 0, or 1 if the device is kept. If the function is gone, the kernel may need a minute.
 *
 * Errors: -EBUSY buffers of its BARs are left, see flatiommu_bar_dma(): nothing has changed.
 */
FLATIOMMU_API int flatiommu_device_close(struct flatiommu_device *device);

/* Flags of struct flatiommu_device_info. */
#define FLATIOMMU_DEVICE_CAN_RESET	0x1

/**
 * struct flatiommu_device_info - properties of a device
 * @flags: FLATIOMMU_DEVICE_CAN_RESET: the function has a reset of its own
 * @group: number of its IOMMU group, -1: none
 * @node: nearest NUMA node, -1: none
 * @wc_bars: a bit for each BAR that its claim has made write-combined
 * @bars: bus address of each memory BAR; 0: there is none, or it is not known, as of imported
 *	devices. To give other devices access to a BAR, use flatiommu_bar_dma()
 * @reserved: 0
 */
struct flatiommu_device_info {
	uint32_t flags;
	int32_t group;
	int32_t node;
	uint32_t wc_bars;
	uint64_t bars[6];
	uint64_t reserved[8];
};

/**
 * flatiommu_device_get_info() - gets properties of a device
 */
FLATIOMMU_API int flatiommu_device_get_info(struct flatiommu_device *device,
					    struct flatiommu_device_info *info);

/** flatiommu_device_name() - full address, such as 0000:00:06.0, until the device is closed */
FLATIOMMU_API const char *flatiommu_device_name(const struct flatiommu_device *device);

/**
 * flatiommu_device_fd() - VFIO's file descriptor of the device, until it is closed
 *
 * Use it for calls that the library does not make, or pass it to a process that imports the device.
 */
FLATIOMMU_API int flatiommu_device_fd(const struct flatiommu_device *device);

/**
 * flatiommu_device_import() - uses a device that another process has opened
 * @flat: a context without devices that were opened in it
 * @fd: a duplicate of that process's flatiommu_device_fd(). On success the library owns it
 * @name: returned by flatiommu_device_name(); at most 31 characters
 * @device: the device, to be closed with flatiommu_device_close(). The device itself goes on until
 *	no process has its file descriptor any more
 *
 * Needs no privilege. Regions, config space, interrupts and reset work; buffers come from
 * flatiommu_dma_import().
 *
 * Errors:
 * -EBADF	@fd is not open
 * -ENOTTY	@fd is not a PCI device of VFIO
 * -EXDEV	the context has opened a device itself
 * -ENAMETOOLONG	@name is too long
 */
FLATIOMMU_API int flatiommu_device_import(struct flatiommu *flat, int fd, const char *name,
					  struct flatiommu_device **device);

/**
 * flatiommu_bus_master() - allows the device DMA and MSIs, or forbids them (PCIe 7.5.1.1.3)
 *
 * Errors: -ENODEV the device is gone; -EIO it does not answer.
 */
FLATIOMMU_API int flatiommu_bus_master(struct flatiommu_device *device, bool on);

/**
 * flatiommu_reset() - resets this function only
 *
 * Registers are as after a reset. The kernel restores config space, bus mastering included. Enabled
 * interrupts stay enabled.
 *
 * Errors: -EOPNOTSUPP it has no reset of its own; -EAGAIN the kernel is using it: try again.
 */
FLATIOMMU_API int flatiommu_reset(struct flatiommu_device *device);

/**
 * flatiommu_hot_reset() - resets the slot or bus that the device is on
 *
 * Errors:
 * -EOPNOTSUPP	there is no such reset, or the device was imported
 * -EPERM	it would also reset functions that are not open in this context (the reason names
 *		them), or that VFIO does not have
 */
FLATIOMMU_API int flatiommu_hot_reset(struct flatiommu_device *device);

/* Memory for DMA. */

/**
 * struct flatiommu_dma_segment - memory at consecutive bus addresses
 * @address: the bus address, for the device
 * @length: bytes
 */
struct flatiommu_dma_segment {
	uint64_t address;
	uint64_t length;
};

/**
 * struct flatiommu_dma - a buffer; the program only reads its members
 * @memory: its address in the program
 * @length: bytes
 * @segments: the segments of the whole buffer in order, as few as possible: one, if an IOMMU
 *	translates
 * @nr_segments: length of @segments
 * @page_size: each naturally aligned block of this size in @memory is contiguous on the bus: an
 *	ordinary page (sysconf(_SC_PAGESIZE)), or a huge page of hugetlb
 * @bases: for flatiommu_dma_address(): for each block of 1 << @shift bytes, its bus address minus
 *	its offset from @memory
 * @skipped: for flatiommu_dma_address(): bytes of the first block that are before @memory
 * @shift: for flatiommu_dma_address(): log2 of the length of a block
 * @reserved: for the library
 * @impl: for the library
 *
 * A program may use a copy of this struct until the buffer is freed.
 */
struct flatiommu_dma {
	void *memory;
	size_t length;
	const struct flatiommu_dma_segment *segments;
	size_t nr_segments;
	size_t page_size;
	const uint64_t *bases;
	size_t skipped;
	uint32_t shift;
	uint32_t reserved;
	struct flatiommu_buffer *impl;
};

/*
 * Pages that memory is allocated from. If there are none, the next kind is used, unless
 * FLATIOMMU_DMA_NO_FALLBACK is set.
 */
enum flatiommu_dma_pages {
	/*
	 * Huge pages, if the length is at least half of one, else ordinary pages. Without an IOMMU,
	 * contiguous memory and memory within 32 address bits or fewer comes from the module, as
	 * with FLATIOMMU_PAGES_SMALL.
	 */
	FLATIOMMU_PAGES_ANY,
	/* hugetlb of 1 GiB, as many as the length needs */
	FLATIOMMU_PAGES_1G,
	/*
	 * hugetlb, as many as the length needs: of 2 MiB if ordinary pages are of 4 KiB, as on x86;
	 * of 32 MiB if they are of 16 KiB, and of 512 MiB if they are of 64 KiB
	 */
	FLATIOMMU_PAGES_HUGE,
	/* ordinary memory, in transparent huge pages if the kernel has any */
	FLATIOMMU_PAGES_TRANSPARENT,
	/* ordinary memory, or memory from the module if devices do not reach all memory */
	FLATIOMMU_PAGES_SMALL,
};

/* Names of two of these kinds in version 0.1.0. */
#define FLATIOMMU_PAGES_2M FLATIOMMU_PAGES_HUGE
#define FLATIOMMU_PAGES_4K FLATIOMMU_PAGES_SMALL

/* Fail with -ENOMEM rather than use other pages or, with FLATIOMMU_DMA_ON_NODE, another node. */
#define FLATIOMMU_DMA_NO_FALLBACK	0x1
/* Allocate memory of the NUMA node @node. */
#define FLATIOMMU_DMA_ON_NODE		0x2
/*
 * Allocate memory of one segment, or fail with -ENOMEM. Without an IOMMU the module moves other
 * memory away, and usually gets a few MiB. If it cannot, a free huge page gives up to its size.
 */
#define FLATIOMMU_DMA_CONTIGUOUS	0x4
/* Allocate a file in memory, which flatiommu_dma_export() can pass to other processes. */
#define FLATIOMMU_DMA_SHARED		0x8

/*
 * Devices only read the memory. With flatiommu_dma_map() the program's own mapping may be read-only
 * then, for example of a file. An IOMMU keeps devices from writing. Without one nothing does.
 */
#define FLATIOMMU_DMA_READ_ONLY		0x10
/*
 * Devices only write to the memory. An IOMMU keeps them from reading, if it can: Intel's cannot
 * with Linux 6.1 and 6.12, nor with page tables of the processor's kind, as in scalable mode.
 * Without an IOMMU nothing does.
 */
#define FLATIOMMU_DMA_WRITE_ONLY	0x20

/**
 * struct flatiommu_dma_options - options for memory
 * @flags: FLATIOMMU_DMA_*
 * @pages: enum flatiommu_dma_pages
 * @node: the NUMA node for FLATIOMMU_DMA_ON_NODE
 * @address_bits: address bits of the device, 12 to 64; 0 is 64
 * @reserved: 0
 */
struct flatiommu_dma_options {
	uint32_t flags;
	uint32_t pages;
	int32_t node;
	uint32_t address_bits;
	uint64_t reserved[4];
};

/**
 * flatiommu_dma_alloc() - allocates zeroed memory that all devices of the context reach
 * @length: bytes
 * @options: the options, or NULL: flags 0, any pages, 64 address bits
 * @dma: the buffer, to be freed with flatiommu_dma_free()
 *
 * The memory is present and pinned. It counts against RLIMIT_MEMLOCK, which the library checks,
 * with the machine's memory and the limits of cgroups, before it fills memory. The program must not
 * unmap, move or discard it (MADV_DONTNEED).
 *
 * With few @address_bits and no IOMMU the memory comes from flatiommu.ko, which has low memory, and
 * counts twice. If that module is not loaded, or is an older one, the library allocates memory
 * until some is within reach: at most all free huge pages, and 64 MiB of other pages.
 *
 * Errors:
 * -ENODEV	no device is open or kept, or all were imported
 * -ENOMEM	there is no such memory, or RLIMIT_MEMLOCK or a cgroup does not allow it
 * -ERANGE	no memory within @address_bits
 * -EOPNOTSUPP	unknown flags, or reserved is not 0
 * -EINVAL	there is no such NUMA node; or memory that devices neither read nor write
 * -ENOSPC	no more mappings or IOVAs
 * -EADDRNOTAVAIL flatiommu.ko refuses the map (the kernel log says why)
 */
FLATIOMMU_API int flatiommu_dma_alloc(struct flatiommu *flat, size_t length,
				      const struct flatiommu_dma_options *options,
				      struct flatiommu_dma **dma);

/**
 * flatiommu_dma_map() - makes the caller's own memory a buffer
 * @memory: readable, writable unless FLATIOMMU_DMA_READ_ONLY, of any alignment. Its pages are
 *	reached as a whole. Buffers may share pages, and overlap
 * @length: bytes
 * @options: the options, or NULL. Only @address_bits and the flags FLATIOMMU_DMA_READ_ONLY and
 *	FLATIOMMU_DMA_WRITE_ONLY apply to existing memory: the rest is 0
 * @dma: the buffer, to be freed with flatiommu_dma_free() before the memory is unmapped
 *
 * Errors: as flatiommu_dma_alloc(), and -EFAULT the memory is not mapped, is read-only, cannot be
 * pinned or is a BAR, which flatiommu_bar_dma() is for; -ERANGE it is not within @address_bits.
 */
FLATIOMMU_API int flatiommu_dma_map(struct flatiommu *flat, void *memory, size_t length,
				    const struct flatiommu_dma_options *options,
				    struct flatiommu_dma **dma);

/**
 * flatiommu_bar_dma() - makes a part of a BAR a buffer, for the other devices of the context
 * @device: the device that has the BAR, for example the memory buffer of an NVMe controller
 * @bar: 0 to 5
 * @offset: bytes from the start of the BAR
 * @length: bytes; 0: to the end
 * @options: the options, or NULL. Only @address_bits applies: those of the other devices
 * @dma: the buffer, to be freed with flatiommu_dma_free(). Until then @device cannot be closed
 *
 * The buffer is like others, but it is not memory of the machine: it is not pinned, and does not
 * count against RLIMIT_MEMLOCK. Its @memory is a mapping of the BAR, for flatiommu_read32() and the
 * like. The mapping is write-combined if the claim has made the BAR write-combined. With an IOMMU,
 * only the backend iommu-type1 can do this.
 *
 * The library cannot tell whether DMA from one device reaches another one. Below one switch it
 * does; from one root port to another it may be lost without an error.
 *
 * Errors: as flatiommu_dma_alloc() and flatiommu_bar_map(), and
 * -EOPNOTSUPP	the backend cannot do this; the BAR has I/O ports, or that part cannot be mapped;
 *		its bus address is not known; the device was imported; unknown options
 * -ERANGE	the BAR is smaller, or out of reach of @address_bits
 * -ENXIO	the device has no such BAR
 */
FLATIOMMU_API int flatiommu_bar_dma(struct flatiommu_device *device, unsigned int bar,
				    uint64_t offset, size_t length,
				    const struct flatiommu_dma_options *options,
				    struct flatiommu_dma **dma);

/**
 * flatiommu_dma_free() - unmaps a buffer from the devices, and frees memory that was allocated
 * @dma: the buffer, or NULL
 *
 * No device may be using it: without an IOMMU nothing would stop the device. An imported buffer
 * ends in this process only. If the kernel fails to unmap the memory from the devices, the library
 * keeps the memory, and returns the error.
 */
FLATIOMMU_API int flatiommu_dma_free(struct flatiommu_dma *dma);

/**
 * flatiommu_quiet() - says that no device of the context uses a buffer that was freed
 *
 * The kernel module may hold memory after it was freed, in case a device still writes to it (hold,
 * see flatiommu(4)). This call gives the memory back. It is also given back when all devices are
 * closed, and when the only device of the context is reset. Without hold, or with an IOMMU, this
 * call does nothing.
 *
 * Errors: -EPERM the process has lost CAP_SYS_RAWIO.
 */
FLATIOMMU_API int flatiommu_quiet(struct flatiommu *flat);

/**
 * flatiommu_dma_address() - the bus address of a byte
 * @offset: offset of the byte in the buffer
 *
 * Data path, in O(1) for any number of segments. Returns UINT64_MAX if @offset is not below the
 * length.
 */
FLATIOMMU_INLINE uint64_t flatiommu_dma_address(const struct flatiommu_dma *dma, size_t offset)
{
	if (offset >= dma->length)
		return UINT64_MAX;
	return dma->bases[(dma->skipped + offset) >> dma->shift] + offset;
}

/**
 * struct flatiommu_dma_limits - limits of a device; 0: no limit
 * @max_length: longest segment, in bytes. Pieces that are split for it are multiples of @alignment
 * @boundary: a power of two; no segment crosses a bus address that is a multiple of it
 * @alignment: a power of two; address and length of each segment are multiples of it
 * @address_bits: no address has more bits, 0 to 64
 * @flags: 0
 * @reserved: 0
 *
 * NVMe's PRPs (base specification 4.1.1) are a boundary of 4096.
 */
struct flatiommu_dma_limits {
	uint64_t max_length;
	uint64_t boundary;
	uint64_t alignment;
	uint32_t address_bits;
	uint32_t flags;
	uint64_t reserved[4];
};

/**
 * flatiommu_dma_gather() - segments of a part of a buffer, within the device's limits
 * @offset: start of the part, in bytes
 * @length: length of the part, in bytes, not 0
 * @limits: the limits, or NULL: none
 * @segments: an array; its contents are undefined after an error
 * @nr_segments: length of the array; on success, and with -ENOSPC, set to the number that is needed
 *
 * Data path.
 *
 * Errors:
 * -EINVAL	the part is not within the buffer; a limit is not a power of two, or below the
 *		alignment
 * -EOPNOTSUPP	flags or reserved is not 0
 * -ENOSPC	the array is too short
 * -ERANGE	an address has more than @address_bits
 * -EADDRNOTAVAIL a segment cannot be aligned as asked
 */
FLATIOMMU_API int flatiommu_dma_gather(const struct flatiommu_dma *dma, size_t offset,
				       size_t length, const struct flatiommu_dma_limits *limits,
				       struct flatiommu_dma_segment *segments, size_t *nr_segments);

/**
 * flatiommu_dma_export() - gets file descriptors with which another process can use a buffer
 * @memory: file descriptor of the memory
 * @table: file descriptor of the segments, which nobody can change
 *
 * The caller passes and closes both. The memory stays pinned while the exporting process has the
 * buffer and the context, even if the other process dies.
 *
 * Errors:
 * -EOPNOTSUPP	the buffer was not allocated with FLATIOMMU_DMA_SHARED
 * -EINVAL	it was imported
 */
FLATIOMMU_API int flatiommu_dma_export(const struct flatiommu_dma *dma, int *memory, int *table);

/**
 * flatiommu_dma_import() - uses a buffer of another process
 * @memory: from flatiommu_dma_export(); it may be closed afterwards
 * @table: from flatiommu_dma_export(); it may be closed afterwards
 * @dma: the buffer, to be freed with flatiommu_dma_free()
 *
 * Needs no privilege and no context. So there is no flatiommu_reason() for it.
 *
 * Errors:
 * -EBADF	a file descriptor is not open
 * -EBADMSG	@table was not made by flatiommu_dma_export(), can still be changed, or belongs to
 *		other memory
 */
FLATIOMMU_API int flatiommu_dma_import(int memory, int table, struct flatiommu_dma **dma);

/**
 * flatiommu_dmabuf_import() - makes the memory of a dma-buf a buffer
 * @dmabuf: file descriptor of the dma-buf, which another driver or udmabuf has made; it may be
 *	closed afterwards
 * @options: the options, or NULL. Only @address_bits, FLATIOMMU_DMA_READ_ONLY and
 *	FLATIOMMU_DMA_WRITE_ONLY apply: the rest is 0
 * @dma: the buffer, to be freed with flatiommu_dma_free(); its @memory is a mapping of the dma-buf
 *
 * Without an IOMMU, on flatiommu.ko and with noiommu-group: the module attaches to the dma-buf. Its
 * exporter keeps the memory in place and counts it; it does not count against RLIMIT_MEMLOCK. VFIO
 * attaches to no dma-buf of another driver, so the other backends fail. The call does not wait for
 * dma_fences.
 *
 * Errors: as flatiommu_dma_map(), and
 * -EBADF	@dmabuf is not open
 * -EINVAL	it is no dma-buf
 * -EFAULT	the backend is another one; the exporter gives its memory to some devices only; or
 *	@dmabuf is open for reading only, without FLATIOMMU_DMA_READ_ONLY
 * -EOPNOTSUPP	an older flatiommu.ko
 * In addition the errors of mmap() by the exporter: it may not let programs map its memory.
 */
FLATIOMMU_API int flatiommu_dmabuf_import(struct flatiommu *flat, int dmabuf,
					  const struct flatiommu_dma_options *options,
					  struct flatiommu_dma **dma);

/**
 * flatiommu_dmabuf_export() - gets a dma-buf of a buffer's memory, for other drivers
 * @dmabuf: the file descriptor, which is the caller's to close
 *
 * The buffer was allocated with FLATIOMMU_DMA_SHARED, and its memory does not come from the module
 * (as with few address bits or contiguous, without an IOMMU). Or it was imported from a dma-buf:
 * the call returns a duplicate of that file descriptor. The dma-buf keeps the memory, also when the
 * buffer is freed. The process needs access to /dev/udmabuf.
 *
 * Errors:
 * -EOPNOTSUPP	it is another buffer; or this kernel has no udmabuf
 * -EINVAL	it is larger than udmabuf's size_limit_mb; or it was imported from another process
 * -EACCES, -EPERM	the process may not open /dev/udmabuf
 */
FLATIOMMU_API int flatiommu_dmabuf_export(const struct flatiommu_dma *dma, int *dmabuf);

/**
 * flatiommu_dma_find() - the buffer that has a byte of the program's memory, or NULL
 * @memory: address of the byte
 * @offset: gets the byte's offset in the buffer; may be NULL
 *
 * Needs O(log n) for n buffers in the context. If buffers overlap, it returns one of them. It also
 * finds buffers of pools, which the program must not free.
 */
FLATIOMMU_API struct flatiommu_dma *flatiommu_dma_find(struct flatiommu *flat, const void *memory,
						       size_t *offset);

/**
 * flatiommu_bus_address() - the bus address of a byte in any buffer of the context
 *
 * Finds the buffer as flatiommu_dma_find() does. Returns UINT64_MAX if there is none.
 */
FLATIOMMU_API uint64_t flatiommu_bus_address(struct flatiommu *flat, const void *memory);

/* Small objects and rings. */

struct flatiommu_pool;

/* For debugging: fill freed objects with 0x6b, and check that before they are used again. */
#define FLATIOMMU_POOL_POISON	0x1

/**
 * struct flatiommu_pool_options - options of a pool
 * @memory: options for the pool's buffers. Only the flags FLATIOMMU_DMA_NO_FALLBACK and
 *	FLATIOMMU_DMA_ON_NODE are allowed
 * @alignment: alignment of each object, a power of two, at most 2 MiB. In any case an object is
 *	aligned to its size, rounded up to a power of two of at least 64 bytes
 * @boundary: a power of two, at least 64: no object crosses a multiple of it. So it is the size of
 *	the largest object
 * @flags: FLATIOMMU_POOL_*
 * @reserved_32: 0
 * @reserved: 0
 */
struct flatiommu_pool_options {
	struct flatiommu_dma_options memory;
	uint64_t alignment;
	uint64_t boundary;
	uint32_t flags;
	uint32_t reserved_32;
	uint64_t reserved[4];
};

/**
 * struct flatiommu_object - an object of a pool
 * @memory: its address in the program
 * @address: its bus address; the object is contiguous on the bus
 * @length: bytes: the requested size, rounded up
 */
struct flatiommu_object {
	void *memory;
	uint64_t address;
	size_t length;
};

/**
 * flatiommu_pool_create() - makes a pool of objects of at most 2 MiB each
 * @options: the options, or NULL: all 0
 * @pool: the pool, to be ended with flatiommu_pool_destroy() or with the context
 *
 * The pool cuts objects from buffers of 2 MiB, of huge pages if there are some. Without an IOMMU,
 * without huge pages and without flatiommu.ko, objects larger than a page mostly cannot be
 * allocated. The pool allocates and frees buffers as they are needed, and keeps one.
 *
 * Errors: -EOPNOTSUPP unknown flags, reserved is not 0.
 */
FLATIOMMU_API int flatiommu_pool_create(struct flatiommu *flat,
					const struct flatiommu_pool_options *options,
					struct flatiommu_pool **pool);

/**
 * flatiommu_pool_destroy() - ends a pool and all its objects
 * @pool: the pool, or NULL
 *
 * Errors: as flatiommu_dma_free().
 */
FLATIOMMU_API int flatiommu_pool_destroy(struct flatiommu_pool *pool);

/**
 * flatiommu_pool_alloc() - allocates a zeroed object
 * @size: bytes
 * @object: the object, to be freed by passing its @memory to flatiommu_pool_free()
 *
 * Errors: as flatiommu_dma_alloc(), and
 * -E2BIG	larger than the pool's largest object
 * -EUCLEAN	a freed object was written to; it is left as it is
 */
FLATIOMMU_API int flatiommu_pool_alloc(struct flatiommu_pool *pool, size_t size,
				       struct flatiommu_object *object);

/**
 * flatiommu_pool_free() - frees an object, which no device may be using
 * @memory: the object's address, or NULL
 *
 * Errors: -ENOENT no object is at @memory, or it was freed already.
 */
FLATIOMMU_API int flatiommu_pool_free(struct flatiommu_pool *pool, void *memory);

/* Regions. */

/* Regions of a PCI device, as VFIO numbers them; 0 to 5 are the BARs. */
#define FLATIOMMU_REGION_ROM	6
#define FLATIOMMU_REGION_CONFIG	7

/**
 * flatiommu_region_size() - size of a region in bytes, 0 if the device has none, or -errno
 * @region: 0 to 5 for a BAR, or FLATIOMMU_REGION_*
 */
FLATIOMMU_API int64_t flatiommu_region_size(struct flatiommu_device *device, unsigned int region);

/* For flatiommu_bar_map(). */
#define FLATIOMMU_BAR_WRITE_COMBINED	0x1

/**
 * flatiommu_bar_map() - maps a BAR, or a part of it
 * @bar: 0 to 5
 * @offset: bytes from its start, of any alignment; accesses to registers must still be aligned
 * @length: bytes; 0: to the end
 * @flags: FLATIOMMU_BAR_WRITE_COMBINED: stores may be merged and reordered, see
 *	flatiommu_wc_flush(); not for registers. 0: uncached
 * @memory: points to @offset, until flatiommu_bar_unmap() or until the device is closed
 *
 * FLATIOMMU_BAR_WRITE_COMBINED needs a function that was claimed with that BAR write-combined. Such
 * a BAR can be mapped only with this flag. The library cannot check this for an imported device.
 *
 * Errors:
 * -ENXIO	the device has no such BAR
 * -ERANGE	the BAR ends before @offset + @length
 * -EOPNOTSUPP	it is a BAR of I/O ports; or that part cannot be mapped (flatiommu_region_read() can
 *		read it); or write-combining without a claim; or unknown flags
 * -EBUSY	the claim has made the BAR write-combined, and the flag is missing, or the reverse
 *		(the reason has the cure); or another driver of the kernel has that part
 * -EINVAL	write-combining of a BAR that is not prefetchable
 */
FLATIOMMU_API int flatiommu_bar_map(struct flatiommu_device *device, unsigned int bar,
				    uint64_t offset, size_t length, unsigned int flags,
				    void **memory);

/**
 * flatiommu_bar_unmap() - unmaps a BAR
 * @memory: as flatiommu_bar_map() returned it
 *
 * Errors: -ENOENT flatiommu_bar_map() did not return this.
 */
FLATIOMMU_API int flatiommu_bar_unmap(struct flatiommu_device *device, void *memory);

/**
 * flatiommu_sigbus_install() - installs the handler that flatiommu_sigbus_catch() needs
 *
 * While a function's memory is off (command register), or the function is asleep (D3hot), an access
 * to its mapped BARs raises SIGBUS, which ends the program. The handler catches the SIGBUS of an
 * access in flatiommu_sigbus_catch(), and passes every other SIGBUS to the handler that was there
 * before. So install handlers of your own first. Only the first call does something.
 */
FLATIOMMU_API int flatiommu_sigbus_install(void);

/**
 * flatiommu_sigbus_catch() - calls a function, and ends it at an access to registers that fails
 * @access: called with @arg in this thread. It ends by returning, or at any access to registers. So
 *	it must not hold a lock during an access, or anything else that must be undone
 *
 * @access may make one access or many. Until one fails, the call takes no lock and does not enter
 * the kernel. It applies to mappings of flatiommu_bar_map(), not to memory. Calls may be nested,
 * also with other devices. A signal handler must not make this call.
 *
 * Returns the value of @access, which is not a failure of this call and changes no reason, or
 * -ENODEV	the registers were not there, and @access has not returned. They are back when the
 *		function's memory is on again
 * -EOPNOTSUPP	flatiommu_sigbus_install() was not called
 */
FLATIOMMU_API int flatiommu_sigbus_catch(struct flatiommu_device *device,
					 int (*access)(void *arg), void *arg);

/**
 * flatiommu_region_read() - reads a region without mapping it: port I/O, ROM, config space
 * @offset: bytes
 * @data: bytes in the device's order, little endian
 * @length: bytes. 1, 2 and 4 bytes, naturally aligned, are one access
 *
 * Errors: -ENXIO no such region; -ERANGE beyond its end; -EIO the device does not answer; -ENODEV
 * it is gone. After -EIO and -ENODEV a part may have been read. Mostly, reads of a device that is
 * gone succeed and return all bits set, and some registers of config space come from VFIO.
 */
FLATIOMMU_API int flatiommu_region_read(struct flatiommu_device *device, unsigned int region,
					uint64_t offset, void *data, size_t length);

/** flatiommu_region_write() - writes a region; otherwise as flatiommu_region_read() */
FLATIOMMU_API int flatiommu_region_write(struct flatiommu_device *device, unsigned int region,
					 uint64_t offset, const void *data, size_t length);

/*
 * Config space (PCIe 7.5): values are in the processor's byte order. VFIO passes harmless accesses
 * on and emulates some others. Errors: as flatiommu_region_read().
 */
FLATIOMMU_API int flatiommu_config_read8(struct flatiommu_device *device, unsigned int offset,
					 uint8_t *value);
FLATIOMMU_API int flatiommu_config_read16(struct flatiommu_device *device, unsigned int offset,
					  uint16_t *value);
FLATIOMMU_API int flatiommu_config_read32(struct flatiommu_device *device, unsigned int offset,
					  uint32_t *value);
FLATIOMMU_API int flatiommu_config_write8(struct flatiommu_device *device, unsigned int offset,
					  uint8_t value);
FLATIOMMU_API int flatiommu_config_write16(struct flatiommu_device *device, unsigned int offset,
					   uint16_t value);
FLATIOMMU_API int flatiommu_config_write32(struct flatiommu_device *device, unsigned int offset,
					   uint32_t value);

/**
 * flatiommu_capability() - finds a capability in config space (PCIe 7.5.3, PCI_CAP_ID_*)
 * @id: kind of capability
 * @offset: the search begins after the capability at this offset, 0: at the first one; set to the
 *	offset of the capability found
 *
 * Errors: -ENOENT there is no such capability, or no other one; -ELOOP the list has no end.
 */
FLATIOMMU_API int flatiommu_capability(struct flatiommu_device *device, uint8_t id,
				       unsigned int *offset);

/** flatiommu_extended_capability() - finds an extended capability (PCIe 7.6.3, PCI_EXT_CAP_ID_*) */
FLATIOMMU_API int flatiommu_extended_capability(struct flatiommu_device *device, uint16_t id,
						unsigned int *offset);

/* Interrupts. */

/* As VFIO numbers them. Only one of INTx, MSI and MSI-X can be enabled at a time. */
enum flatiommu_irq {
	FLATIOMMU_IRQ_INTX,		/* masked as it fires, until flatiommu_irq_unmask() */
	FLATIOMMU_IRQ_MSI,
	FLATIOMMU_IRQ_MSIX,
	FLATIOMMU_IRQ_ERROR,	/* PCIe reported an error of the device: reset it */
	/*
	 * The kernel asks for the device, or it is being pulled out: close it and, if it is the
	 * context's last one, free the buffers and destroy the pools, which keep buffers.
	 */
	FLATIOMMU_IRQ_REQUEST,
};

/** flatiommu_irq_vectors() - number of vectors of the kind, 0 for none, or -errno */
FLATIOMMU_API int flatiommu_irq_vectors(struct flatiommu_device *device, enum flatiommu_irq irq);

/**
 * flatiommu_irq_enable() - makes vectors signal eventfds
 * @first: the first of @count vectors
 * @count: number of vectors, not 0
 * @eventfds: one for each vector; -1: none, for now. The caller owns them and may close them at any
 *	time
 *
 * A vector that is enabled already gets the new eventfd. Vectors can be added later, but for MSI,
 * and up to Linux 6.4 for MSI-X, only below the highest vector of the first call. So enable the
 * highest vector first, with -1 if need be.
 *
 * Errors:
 * -ENXIO	no such vector
 * -EBUSY	another kind is enabled. Another process may have enabled it for an imported device:
 *		flatiommu_irq_disable() disables that, too
 * -ENOSPC	the machine has not enough vectors left
 * -EOPNOTSUPP	the kernel cannot add vectors to the enabled ones
 * -EBADF	not an eventfd; vectors of this call that were enabled may have no eventfd now
 */
FLATIOMMU_API int flatiommu_irq_enable(struct flatiommu_device *device, enum flatiommu_irq irq,
				       unsigned int first, unsigned int count, const int *eventfds);

/** flatiommu_irq_disable() - disables all vectors of the kind; it is no error if none is enabled */
FLATIOMMU_API int flatiommu_irq_disable(struct flatiommu_device *device, enum flatiommu_irq irq);

/**
 * flatiommu_irq_trigger() - signals the eventfd of a vector, as if the device had interrupted
 *
 * With the eventfd -1 it does nothing. Errors: -ENXIO no such vector, or it is not enabled.
 */
FLATIOMMU_API int flatiommu_irq_trigger(struct flatiommu_device *device, enum flatiommu_irq irq,
					unsigned int vector);

/**
 * flatiommu_irq_mask() - masks interrupts; INTx only
 *
 * Errors: -EOPNOTSUPP another kind; -ENXIO it is not enabled.
 */
FLATIOMMU_API int flatiommu_irq_mask(struct flatiommu_device *device, enum flatiommu_irq irq);

/** flatiommu_irq_unmask() - allows the next INTx, after each one; errors as flatiommu_irq_mask() */
FLATIOMMU_API int flatiommu_irq_unmask(struct flatiommu_device *device, enum flatiommu_irq irq);

#ifdef __cplusplus
}
#endif

#endif /* FLATIOMMU_H */
