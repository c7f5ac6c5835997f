/* SPDX-License-Identifier: MIT */
/*
 * libflatiommu: one way to write a userspace PCI driver, with or without an IOMMU.
 *
 * A context (struct flatiommu) is one address space: devices that are opened in it, and buffers
 * that all of them reach. What stands behind it, an IOMMU or nothing, is found out as the first
 * device is opened, and shows in one place only: in how many segments of bus addresses a buffer
 * has.
 *
 *	flatiommu_open(&flat);
 *	flatiommu_device_open(flat, "0000:00:06.0", &device);
 *	flatiommu_dma_alloc(flat, 1 << 20, NULL, &dma);
 *	flatiommu_bar_map(device, 0, 0, 0, 0, &registers);
 *	flatiommu_bus_master(device, true);
 *	flatiommu_write64(registers + ADDRESS, flatiommu_dma_address(dma, 0));
 *
 * Functions return 0, or what they say, or -errno; nothing has changed then, unless they say
 * otherwise. Why, and what to do about it, is said by flatiommu_reason() and to the log hook; but
 * not by what is called without a context, and by the data path. They never print, exit or abort, and
 * keep nothing outside the context. Pointers to pass results in are written to on success only, and
 * must not be NULL unless said otherwise; neither may contexts, devices and buffers: -EINVAL.
 *
 * Threads: any thread may call anything at any time, as long as nobody uses what is being closed or
 * freed. What takes long keeps no other call waiting. What is "data path" below takes no lock and
 * enters no kernel. No thread is cancelled within a call.
 *
 * fork(): in the child every call with the context, a device or a buffer is refused with -ECHILD,
 * and flatiommu_close() only frees what the child has copies of. It does not have what was
 * allocated, unless shared, or mapped of BARs.
 *
 * Errors that every function may return besides its own: -ENOMEM; -EINVAL for an argument that is
 * none of those described; -EOPNOTSUPP for flags and options that this library does not know;
 * -ECHILD in a forked child; whatever the kernel's call returned, in the rare cases not named here.
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

/* Of this header; flatiommu_library_version() is the library's that runs. */
#define LIBFLATIOMMU_VERSION_MAJOR	0
#define LIBFLATIOMMU_VERSION_MINOR	1
#define LIBFLATIOMMU_VERSION_PATCH	0
#define LIBFLATIOMMU_VERSION_CODE(major, minor, patch) \
	((major) * 1000000 + (minor) * 1000 + (patch))
#define LIBFLATIOMMU_VERSION \
	LIBFLATIOMMU_VERSION_CODE(LIBFLATIOMMU_VERSION_MAJOR, LIBFLATIOMMU_VERSION_MINOR, \
				  LIBFLATIOMMU_VERSION_PATCH)

/*
 * Structures that a program fills in or has filled in have their size for ever, with room in
 * @reserved. What is reserved is 0: a library that does not know what is not 0 there, or a flag,
 * says -EOPNOTSUPP, and what it does not know to tell it leaves 0. All of it 0 is what NULL means.
 * Structures that the library makes may grow.
 */

#ifndef FLATIOMMU_API
#define FLATIOMMU_API __attribute__((visibility("default")))
#endif

struct flatiommu;
struct flatiommu_device;

/* The context. */

/**
 * flatiommu_open() - a new, empty context
 * @flat: the context, to be closed with flatiommu_close()
 *
 * The environment variable FLATIOMMU_BACKEND forces the backend of the first device, by one of the
 * names that flatiommu_backend() returns but for the last; another name is an error of
 * flatiommu_device_open().
 *
 * Errors: -ENOMEM.
 */
FLATIOMMU_API int flatiommu_open(struct flatiommu **flat);

/**
 * struct flatiommu_options - how a context is
 * @backend: the one that it has, by a name that flatiommu_backend() returns but the last, whatever
 *	FLATIOMMU_BACKEND says; NULL: that, or the first that works
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
 * @options: or NULL
 *
 * Errors: as flatiommu_open(), too: -EOPNOTSUPP flags or reserved is not 0.
 */
FLATIOMMU_API int flatiommu_open_with(const struct flatiommu_options *options,
				      struct flatiommu **flat);

/** flatiommu_library_version() - such as "0.1.0" */
FLATIOMMU_API const char *flatiommu_library_version(void);

/**
 * flatiommu_close() - closes the context with all devices and buffers that it still has
 * @flat: or NULL
 *
 * Devices are stopped first, and then memory is let go.
 */
FLATIOMMU_API void flatiommu_close(struct flatiommu *flat);

/**
 * flatiommu_reason() - why the latest call of this thread that failed in this context did
 *
 * A line for a person, without a newline: what failed, with which thing, and the cure. "" when no
 * call of this thread has failed yet. It holds until the next failure in this thread.
 */
FLATIOMMU_API const char *flatiommu_reason(struct flatiommu *flat);

/* Of the log's lines. */
enum flatiommu_log {
	FLATIOMMU_LOG_ERROR,	/* a call fails, or could not do all of it, and this is its reason */
	/* Something else made it good; or a program that asks is told no, as of a capability. */
	FLATIOMMU_LOG_NOTE,
};

/**
 * flatiommu_set_log() - has each reason told, and each attempt that failed
 * @log: called with @arg, the level and the line, in the thread that fails and before its call
 *	returns; it may call nothing of the library, and others may wait for it. NULL: nobody
 *
 * To be called before other threads use the context.
 */
FLATIOMMU_API void flatiommu_set_log(struct flatiommu *flat,
				     void (*log)(void *arg, enum flatiommu_log level, const char *line),
				     void *arg);

/**
 * flatiommu_backend() - what stands behind the context
 *
 * "" while no device is open or kept for the buffers, else one of:
 *
 *	iommu-iommufd		a real IOMMU, through iommufd and VFIO's character devices
 *	iommu-type1		a real IOMMU, through VFIO's groups and type1
 *	flatiommu-iommufd	flatiommu.ko, through iommufd: bus addresses, pinned memory
 *	flatiommu-type1		flatiommu.ko, through type1: the same
 *	noiommu-iommufd		Linux's no-IOMMU mode with iommufd (from 7.3): the same
 *	noiommu-group		Linux's older no-IOMMU group, with memory pinned by flatiommu.ko
 *	imported		devices that another process opened; see flatiommu_device_import()
 */
FLATIOMMU_API const char *flatiommu_backend(const struct flatiommu *flat);

/** flatiommu_backend_reason() - a line on why it is this one, or "" */
FLATIOMMU_API const char *flatiommu_backend_reason(const struct flatiommu *flat);

/**
 * flatiommu_isolated() - does an IOMMU keep the devices to the buffers?
 *
 * Where it does not, a mistake in what a device is told is a write to anybody's memory. No, too, of
 * imported devices, as nothing here can tell.
 */
FLATIOMMU_API bool flatiommu_isolated(const struct flatiommu *flat);

/* Devices. */

/**
 * flatiommu_device_open() - opens a PCI function that is bound to vfio-pci
 * @bdf: its address, 0000:00:06.0, or without the segment, 00:06.0; behind it, if need be, a VF token:
 *	"0000:01:00.1 vf_token=UUID"
 * @device: to be closed with flatiommu_device_close()
 *
 * The function is reset by the kernel where it can be. Bus mastering is off, memory and port I/O
 * are on.
 *
 * Where a physical function is bound to vfio-pci, a virtual function of it opens with the token alone
 * with which the physical one was opened. Without one in @bdf the environment variable FLATIOMMU_VF_TOKEN
 * is taken. Functions that want none open with one, too.
 *
 * Errors: -EINVAL @bdf is no PCI address, the token no UUID, FLATIOMMU_BACKEND no backend; -ENODEV
 * no such function; -ENXIO it is not bound to vfio-pci; -EOPNOTSUPP no backend is possible for it,
 * or not the one that was forced; -EXDEV it needs another backend than the devices that are open in
 * this context; -EBUSY somebody has it open, this context included; -ENOENT /dev/flatiommu or
 * /dev/vfio/vfio is missing; -EPERM and -EACCES the process may not, interrupts are not safe and
 * VFIO was not told to take that, functions of its group have other drivers, or the kernel is
 * locked down; -ENOKEY it takes a VF token, -EKEYREJECTED another one; -EIO it does not answer.
 */
FLATIOMMU_API int flatiommu_device_open(struct flatiommu *flat, const char *bdf,
					struct flatiommu_device **device);

/**
 * struct flatiommu_device_options - how a device is opened
 * @vf_token: a UUID, or NULL: that of FLATIOMMU_VF_TOKEN, if any
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
 * @bdf: its address alone
 * @options: or NULL
 */
FLATIOMMU_API int flatiommu_device_open_with(struct flatiommu *flat, const char *bdf,
					     const struct flatiommu_device_options *options,
					     struct flatiommu_device **device);

/**
 * flatiommu_device_close() - stops the device and gives it back
 * @device: or NULL
 *
 * Interrupts and mappings of its regions end. Bus mastering is cleared, and the kernel resets the
 * function where it can. Buffers stay, with the same addresses, for the context's other devices and
 * those yet to come; so while buffers are left, the last device is stopped but kept. Its
 * FLATIOMMU_IRQ_REQUEST still signals then: buffers are to be freed.
 *
 * Returns 0, or 1 when it is kept. For a function that is gone the kernel may take a minute.
 */
FLATIOMMU_API int flatiommu_device_close(struct flatiommu_device *device);

/* Of struct flatiommu_device_info. */
#define FLATIOMMU_DEVICE_CAN_RESET	0x1

/**
 * struct flatiommu_device_info - what there is to know of a device
 * @flags: FLATIOMMU_DEVICE_*: it has a reset of its own
 * @group: the number of its IOMMU group, -1 for none
 * @node: the NUMA node that it is nearest to, -1 for none
 * @wc_bars: a bit for each BAR that its claim holds write-combined
 * @reserved: 0
 */
struct flatiommu_device_info {
	uint32_t flags;
	int32_t group;
	int32_t node;
	uint32_t wc_bars;
	uint64_t reserved[14];
};

/**
 * flatiommu_device_get_info() - fills @info in
 */
FLATIOMMU_API int flatiommu_device_get_info(struct flatiommu_device *device,
					    struct flatiommu_device_info *info);

/** flatiommu_device_name() - its full address, 0000:00:06.0, until it is closed */
FLATIOMMU_API const char *flatiommu_device_name(const struct flatiommu_device *device);

/**
 * flatiommu_device_fd() - VFIO's file descriptor of the device, until it is closed
 *
 * For what the library does not do, and to be passed to a process that imports the device.
 */
FLATIOMMU_API int flatiommu_device_fd(const struct flatiommu_device *device);

/**
 * flatiommu_device_import() - uses a device that another process has opened
 * @flat: a context without devices that were opened in it
 * @fd: a duplicate of that process's flatiommu_device_fd(). On success it is the library's
 * @name: what flatiommu_device_name() is to say, of up to 31 characters
 * @device: to be closed with flatiommu_device_close(); it goes on until no other process has the file
 *	descriptor any more
 *
 * It takes no privilege. Regions, config space, interrupts and reset work; buffers come from
 * flatiommu_dma_import().
 *
 * Errors: -EBADF @fd is not open; -ENOTTY it is not a PCI device of VFIO; -EXDEV the context has opened
 * a device itself; -ENAMETOOLONG.
 */
FLATIOMMU_API int flatiommu_device_import(struct flatiommu *flat, int fd, const char *name,
					  struct flatiommu_device **device);

/**
 * flatiommu_bus_master() - lets the device do DMA and send MSIs, or does not (PCIe 7.5.1.1.3)
 *
 * Errors: -ENODEV the device is gone; -EIO it does not answer.
 */
FLATIOMMU_API int flatiommu_bus_master(struct flatiommu_device *device, bool on);

/**
 * flatiommu_reset() - resets this function only
 *
 * Registers are as after a reset; the kernel restores config space, bus mastering included. Interrupts
 * that are enabled here stay so.
 *
 * Errors: -EOPNOTSUPP it has no reset of its own; -EAGAIN the kernel is at it.
 */
FLATIOMMU_API int flatiommu_reset(struct flatiommu_device *device);

/**
 * flatiommu_hot_reset() - resets the slot or bus that the device is on
 *
 * Errors: -EOPNOTSUPP there is no such reset, or the device was imported; -EPERM other functions would
 * be reset, too, and are not open in this context (the reason names them), or not VFIO's at all.
 */
FLATIOMMU_API int flatiommu_hot_reset(struct flatiommu_device *device);

/* Memory for DMA. */

/**
 * struct flatiommu_dma_segment - memory at consecutive bus addresses
 * @address: what the device is to be told
 * @length: bytes
 */
struct flatiommu_dma_segment {
	uint64_t address;
	uint64_t length;
};

/**
 * struct flatiommu_dma - a buffer; its members are to be read only
 * @memory: where the program has it
 * @length: bytes
 * @segments: the whole of it in order, as few as there can be: one, where an IOMMU translates
 * @nr_segments: length of @segments
 * @page_size: bytes that surely are consecutive on the bus, wherever they begin at a multiple in
 *	@memory: of an ordinary page (sysconf(_SC_PAGESIZE)), or of a huge page of hugetlb
 * @bases: for flatiommu_dma_address(): bus addresses less offsets, of each 1 << @shift bytes
 * @skipped: for it, too: bytes of the first of these before @memory
 * @shift: for it, too
 * @impl: what the library has of it
 *
 * A copy of it is as good as itself until the buffer is freed.
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

/* Which pages memory is allocated from; without FLATIOMMU_DMA_NO_FALLBACK, or the next one here. */
enum flatiommu_dma_pages {
	/*
	 * Huge pages from half of one on, else ordinary ones. Without an IOMMU, contiguous memory and
	 * what 32 address bits or fewer reach is the module's, as with FLATIOMMU_PAGES_SMALL.
	 */
	FLATIOMMU_PAGES_ANY,
	/* hugetlb of 1 GiB; as many as the length takes */
	FLATIOMMU_PAGES_1G,
	/*
	 * hugetlb; the same. Of 2 MiB where ordinary pages are of 4 KiB, as on x86; of 32 MiB where they
	 * are of 16 KiB, and of 512 MiB where they are of 64 KiB
	 */
	FLATIOMMU_PAGES_HUGE,
	/* ordinary memory, as transparent huge pages where the kernel has some at hand */
	FLATIOMMU_PAGES_TRANSPARENT,
	/* ordinary memory, or what the module has where devices reach it */
	FLATIOMMU_PAGES_SMALL,
};

/* Their names in version 0.1.0. */
#define FLATIOMMU_PAGES_2M FLATIOMMU_PAGES_HUGE
#define FLATIOMMU_PAGES_4K FLATIOMMU_PAGES_SMALL

/* The pages asked for, unless any are, and with FLATIOMMU_DMA_ON_NODE that node, or -ENOMEM. */
#define FLATIOMMU_DMA_NO_FALLBACK	0x1
/* On the NUMA node @node, rather than where the kernel likes. */
#define FLATIOMMU_DMA_ON_NODE		0x2
/*
 * One segment, or -ENOMEM. The module moves other memory for it, so that without an IOMMU, too, a few MiB can
 * be had as a rule; and up to the size of a huge page that is free.
 */
#define FLATIOMMU_DMA_CONTIGUOUS	0x4
/* In a file in memory, that flatiommu_dma_export() can hand to other processes. */
#define FLATIOMMU_DMA_SHARED		0x8

/*
 * Devices only read it: then the program's own memory may be read-only, as a file that is mapped
 * so. An IOMMU keeps them to that. Of flatiommu_dma_map() alone.
 */
#define FLATIOMMU_DMA_READ_ONLY		0x10

/**
 * struct flatiommu_dma_options - what kind of memory
 * @flags: FLATIOMMU_DMA_*
 * @pages: enum flatiommu_dma_pages
 * @node: with FLATIOMMU_DMA_ON_NODE
 * @address_bits: the device has that many address bits, 12 to 64. 0 is 64
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
 * flatiommu_dma_alloc() - memory that is all zero and that all devices of the context reach
 * @length: bytes
 * @options: or NULL: flags 0, any pages, 64 address bits
 * @dma: to be freed with flatiommu_dma_free()
 *
 * It is there, and pinned: it counts against RLIMIT_MEMLOCK, which is looked at before memory is
 * filled. It is not to be unmapped, moved or discarded (MADV_DONTNEED). With few @address_bits and
 * no IOMMU it is had from flatiommu.ko, which takes it from where it is low, and then counts twice.
 * Where that module is not loaded, or an older one, memory is asked for until there is some within
 * reach: up to all free huge pages, and 64 MiB of others.
 *
 * Errors: -ENODEV no device is open or kept, or all were imported; -ENOMEM there is no such memory, or
 * RLIMIT_MEMLOCK; -ERANGE none within @address_bits; -EOPNOTSUPP unknown flags, reserved is not 0;
 * -EINVAL there is no such NUMA node; -ENOSPC no more mappings or IOVAs; -EADDRNOTAVAIL flatiommu.ko
 * refuses (the kernel log says why).
 */
FLATIOMMU_API int flatiommu_dma_alloc(struct flatiommu *flat, size_t length,
				      const struct flatiommu_dma_options *options,
				      struct flatiommu_dma **dma);

/**
 * flatiommu_dma_map() - makes the caller's own memory a buffer
 * @memory: readable, writable unless FLATIOMMU_DMA_READ_ONLY, of any alignment. Its pages are
 *	reached as a whole. Buffers may share pages, and overlap
 * @length: bytes
 * @options: or NULL. Only @address_bits, and of @flags FLATIOMMU_DMA_READ_ONLY, is for memory that
 *	there is: the rest is 0
 * @dma: to be freed with flatiommu_dma_free() before the memory is unmapped
 *
 * Errors: as flatiommu_dma_alloc(), and -EFAULT memory that is not mapped, read-only, or that cannot
 * be pinned; -ERANGE it is not within @address_bits.
 */
FLATIOMMU_API int flatiommu_dma_map(struct flatiommu *flat, void *memory, size_t length,
				    const struct flatiommu_dma_options *options,
				    struct flatiommu_dma **dma);

/**
 * flatiommu_dma_free() - no device reaches the buffer any more; memory that was allocated is freed
 * @dma: or NULL
 *
 * No device may be using it: without an IOMMU nothing would stop it. Of an imported buffer only
 * this process's part ends. Memory that the kernel does not unmap from the devices is kept, and
 * that is an error.
 */
FLATIOMMU_API int flatiommu_dma_free(struct flatiommu_dma *dma);

/**
 * flatiommu_dma_address() - the bus address of a byte
 * @offset: bytes from @memory on; UINT64_MAX is returned when it is not below the length
 *
 * Data path, in O(1), however many segments there are.
 */
FLATIOMMU_INLINE uint64_t flatiommu_dma_address(const struct flatiommu_dma *dma, size_t offset)
{
	if (offset >= dma->length)
		return UINT64_MAX;
	return dma->bases[(dma->skipped + offset) >> dma->shift] + offset;
}

/**
 * struct flatiommu_dma_limits - what a device takes; all of it 0 is no limit
 * @max_length: bytes of a segment, at most; of what is cut for it, a multiple of @alignment
 * @boundary: a power of two; no segment crosses a multiple of it, of bus addresses
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
 * flatiommu_dma_gather() - segments of a part of a buffer, as the device takes them
 * @offset: of the part, bytes
 * @length: of the part, bytes, not 0
 * @limits: or NULL: none
 * @segments: an array; after an error, what is in it means nothing
 * @nr_segments: its length; on success, and with -ENOSPC, set to the number that is needed
 *
 * Data path.
 *
 * Errors: -EINVAL the part is not within the buffer, a limit is no power of two, or less than the
 * alignment; -EOPNOTSUPP flags or reserved is not 0; -ENOSPC the array is too short; -ERANGE an address has more bits; -EADDRNOTAVAIL a segment
 * cannot be aligned as asked.
 */
FLATIOMMU_API int flatiommu_dma_gather(const struct flatiommu_dma *dma, size_t offset, size_t length,
				       const struct flatiommu_dma_limits *limits,
				       struct flatiommu_dma_segment *segments, size_t *nr_segments);

/**
 * flatiommu_dma_export() - what another process needs to use a buffer
 * @memory: a file descriptor of the memory
 * @table: a file descriptor of the segments, which nobody can change
 *
 * Both are the caller's, to be passed and closed. The memory is pinned for as long as the exporting
 * process has the buffer and the context; it stays pinned when the other process dies.
 *
 * Errors: -EOPNOTSUPP the buffer was not allocated with FLATIOMMU_DMA_SHARED; -EINVAL it was imported.
 */
FLATIOMMU_API int flatiommu_dma_export(const struct flatiommu_dma *dma, int *memory, int *table);

/**
 * flatiommu_dma_import() - a buffer of another process
 * @memory: from flatiommu_dma_export(); it may be closed afterwards
 * @table: the same
 * @dma: to be freed with flatiommu_dma_free()
 *
 * It takes no privilege and no context, and so has no reason to tell.
 *
 * Errors: -EBADF; -EBADMSG @table is not what flatiommu_dma_export() made, or could still be changed,
 * or is of another memory.
 */
FLATIOMMU_API int flatiommu_dma_import(int memory, int table, struct flatiommu_dma **dma);

/**
 * flatiommu_dma_find() - the buffer that has a byte of the program's memory, or NULL
 * @offset: where in it; may be NULL
 *
 * In O(log n) of the context's buffers; of those that overlap, any. Buffers of pools are among
 * them, and are not to be freed.
 */
FLATIOMMU_API struct flatiommu_dma *flatiommu_dma_find(struct flatiommu *flat, const void *memory,
						       size_t *offset);

/** flatiommu_bus_address() - of a byte of any buffer of the context, or UINT64_MAX. The same */
FLATIOMMU_API uint64_t flatiommu_bus_address(struct flatiommu *flat, const void *memory);

/* Small objects and rings. */

struct flatiommu_pool;

/* What was freed is filled with 0x6b, and looked at before it is used again. For debugging. */
#define FLATIOMMU_POOL_POISON	0x1

/**
 * struct flatiommu_pool_options - what kind of objects
 * @memory: of the buffers that they are in. Of its flags FLATIOMMU_DMA_NO_FALLBACK and
 *	FLATIOMMU_DMA_ON_NODE
 * @alignment: of each object, a power of two up to 2 MiB. An object is at a multiple of its size,
 *	rounded up to a power of two and 64 bytes at least, whatever this is
 * @boundary: a power of two, 64 at least: no object crosses a multiple of it. So this is the
 *	largest one
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
 * @memory: where the program has it
 * @address: what the device is to be told; it is in one piece
 * @length: bytes, as it was asked for, rounded up
 */
struct flatiommu_object {
	void *memory;
	uint64_t address;
	size_t length;
};

/**
 * flatiommu_pool_create() - a pool of objects, of up to 2 MiB each
 * @options: or NULL: all of it 0
 * @pool: to be ended with flatiommu_pool_destroy(), or with the context
 *
 * Objects are cut from buffers of 2 MiB, of huge pages where there are some: what is larger than a
 * page is not to be had without one, unless an IOMMU translates. Buffers come and go as they are
 * needed, one is kept.
 *
 * Errors: -EOPNOTSUPP unknown flags, reserved is not 0.
 */
FLATIOMMU_API int flatiommu_pool_create(struct flatiommu *flat,
					const struct flatiommu_pool_options *options,
					struct flatiommu_pool **pool);

/**
 * flatiommu_pool_destroy() - frees all its objects, too. 0, or as flatiommu_dma_free(). @pool: or
 * NULL
 */
FLATIOMMU_API int flatiommu_pool_destroy(struct flatiommu_pool *pool);

/**
 * flatiommu_pool_alloc() - an object that is all zero
 * @size: bytes
 * @object: to be freed with flatiommu_pool_free() of its @memory
 *
 * Errors: -E2BIG more than the pool's largest; -EUCLEAN a freed object was written to, and is left
 * as it is; as flatiommu_dma_alloc().
 */
FLATIOMMU_API int flatiommu_pool_alloc(struct flatiommu_pool *pool, size_t size,
				       struct flatiommu_object *object);

/**
 * flatiommu_pool_free() - ends an object, which no device may be using
 * @memory: of the object, or NULL
 *
 * Errors: -ENOENT it is none, or was freed already.
 */
FLATIOMMU_API int flatiommu_pool_free(struct flatiommu_pool *pool, void *memory);

/* Regions. */

/* Regions of a PCI device, as VFIO numbers them; 0 to 5 are the BARs. */
#define FLATIOMMU_REGION_ROM	6
#define FLATIOMMU_REGION_CONFIG	7

/**
 * flatiommu_region_size() - bytes of a region, 0 when the device has none, or -errno
 * @region: 0 to 5 for a BAR, or FLATIOMMU_REGION_*
 */
FLATIOMMU_API int64_t flatiommu_region_size(struct flatiommu_device *device, unsigned int region);

/* Of flatiommu_bar_map(). */
#define FLATIOMMU_BAR_WRITE_COMBINED	0x1

/**
 * flatiommu_bar_map() - maps a BAR, or a part of it
 * @bar: 0 to 5
 * @offset: bytes from its start, any; the access to registers has to be aligned all the same
 * @length: bytes; 0 is to the end
 * @flags: FLATIOMMU_BAR_WRITE_COMBINED: stores may be merged and reordered, see flatiommu_wc_flush();
 *	not for registers. 0: uncached
 * @memory: where @offset is; until flatiommu_bar_unmap(), or the device is closed
 *
 * Write-combining takes a function that was claimed with that BAR write-combined, and nothing else is to
 * be had of such a BAR. Of an imported device the library cannot tell.
 *
 * Errors: -ENXIO the device has no such BAR; -ERANGE it is smaller than asked; -EOPNOTSUPP it is
 * one of ports, or that part cannot be mapped (flatiommu_region_read() can read it), or not
 * write-combined without a claim, or unknown flags; -EBUSY it is held write-combined, or is not
 * (the reason has the cure); -EINVAL write-combining of a BAR that is not prefetchable.
 */
FLATIOMMU_API int flatiommu_bar_map(struct flatiommu_device *device, unsigned int bar, uint64_t offset,
				    size_t length, unsigned int flags, void **memory);

/**
 * flatiommu_bar_unmap() - ends what flatiommu_bar_map() began
 * @memory: what it returned
 *
 * Errors: -ENOENT it did not return that.
 */
FLATIOMMU_API int flatiommu_bar_unmap(struct flatiommu_device *device, void *memory);

/**
 * flatiommu_region_read() - reads a region without mapping it: port I/O, ROM, config space
 * @offset: bytes
 * @data: as it comes, little endian
 * @length: bytes. 1, 2 and 4 at a multiple of themselves are one access
 *
 * Errors: -ENXIO no such region; -ERANGE beyond its end; -EIO it does not answer, and -ENODEV it is
 * gone: a part may have been done then.
 */
FLATIOMMU_API int flatiommu_region_read(struct flatiommu_device *device, unsigned int region,
					uint64_t offset, void *data, size_t length);

/** flatiommu_region_write() - the same, for writing */
FLATIOMMU_API int flatiommu_region_write(struct flatiommu_device *device, unsigned int region,
					 uint64_t offset, const void *data, size_t length);

/*
 * Config space (PCIe 7.5): values as the processor has them. VFIO lets through what is harmless, and
 * emulates some of the rest. Errors: as flatiommu_region_read().
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
 * @id: which
 * @offset: the search begins behind the one that is there, with 0 at the first; set to where it is
 *
 * Errors: -ENOENT there is none, or no further one; -ELOOP the list has no end.
 */
FLATIOMMU_API int flatiommu_capability(struct flatiommu_device *device, uint8_t id,
				       unsigned int *offset);

/** flatiommu_extended_capability() - the same, of extended ones (PCIe 7.6.3, PCI_EXT_CAP_ID_*) */
FLATIOMMU_API int flatiommu_extended_capability(struct flatiommu_device *device, uint16_t id,
						unsigned int *offset);

/* Interrupts. */

/* As VFIO numbers them. Of INTx, MSI and MSI-X only one can be enabled at a time. */
enum flatiommu_irq {
	FLATIOMMU_IRQ_INTX,		/* masked as it fires, until flatiommu_irq_unmask() */
	FLATIOMMU_IRQ_MSI,
	FLATIOMMU_IRQ_MSIX,
	FLATIOMMU_IRQ_ERROR,	/* PCIe reported an error of the device: reset it */
	/* It is asked for, or being pulled out: close it and, after the context's last one, free buffers. */
	FLATIOMMU_IRQ_REQUEST,
};

/** flatiommu_irq_vectors() - how many vectors there are of the kind, 0 for none, or -errno */
FLATIOMMU_API int flatiommu_irq_vectors(struct flatiommu_device *device, enum flatiommu_irq irq);

/**
 * flatiommu_irq_enable() - has vectors signal eventfds
 * @first: the first of @count vectors
 * @count: how many, not 0
 * @eventfds: one for each; -1: none, for now. They stay the caller's, and can be closed at any time
 *
 * Vectors that are enabled already get the new eventfd. Others can be added later: of MSI, and up to
 * Linux 6.4 of MSI-X, only below the highest of the first call, so that such a program has to enable
 * the highest one, with -1 if need be, first.
 *
 * Errors: -ENXIO no such vector; -EBUSY another kind is enabled; -ENOSPC the machine has fewer vectors
 * left; -EOPNOTSUPP the kernel cannot add vectors to those that are enabled; -EBADF no eventfd, and
 * vectors of this call that were enabled may have none now. Of an imported device -EBUSY is also what
 * another process has enabled; flatiommu_irq_disable() ends that.
 */
FLATIOMMU_API int flatiommu_irq_enable(struct flatiommu_device *device, enum flatiommu_irq irq,
				       unsigned int first, unsigned int count, const int *eventfds);

/** flatiommu_irq_disable() - no vector of the kind signals any more; also when none was enabled */
FLATIOMMU_API int flatiommu_irq_disable(struct flatiommu_device *device, enum flatiommu_irq irq);

/**
 * flatiommu_irq_trigger() - signals the eventfd of a vector, as if the device had
 *
 * One that has the eventfd -1 signals nothing. Errors: -ENXIO no such vector, or not enabled.
 */
FLATIOMMU_API int flatiommu_irq_trigger(struct flatiommu_device *device, enum flatiommu_irq irq,
					unsigned int vector);

/**
 * flatiommu_irq_mask() - holds interrupts back. Of INTx only
 *
 * Errors: -EOPNOTSUPP another kind; -ENXIO it is not enabled.
 */
FLATIOMMU_API int flatiommu_irq_mask(struct flatiommu_device *device, enum flatiommu_irq irq);

/** flatiommu_irq_unmask() - lets the next one through, after each; INTx and errors as for the mask */
FLATIOMMU_API int flatiommu_irq_unmask(struct flatiommu_device *device, enum flatiommu_irq irq);

#ifdef __cplusplus
}
#endif

#endif /* FLATIOMMU_H */
