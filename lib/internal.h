/* SPDX-License-Identifier: MIT */
/*
 * Objects and functions that the library's files share: a context, its devices and buffers.
 */
#ifndef LIB_INTERNAL_H
#define LIB_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <flatiommu.h>

#include "backend.h"
#include "cause.h"
#include "fault.h"
#include "iova.h"
#include "place.h"
#include "sysfs.h"

#define NR_REGIONS	9	/* VFIO_PCI_NUM_REGIONS */
#define NR_IRQS		5	/* VFIO_PCI_NUM_IRQS */
#define NR_BARS		6
#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

/* Returns the bytes of an ordinary page: 4096, or 16 or 64 KiB with some kernels of arm64. */
size_t small_page_size(void);

/* A VFIO group that devices of the context belong to. */
struct group {
	struct group *next;
	int id;
	int fd;
	unsigned int devices;
};

#define REASON_SIZE 1024

struct thread;			/* reason.c */

/* The reason of a thread's latest failed call. Living threads without a failed call have none. */
struct reason {
	struct reason *next;
	struct thread *thread;
	char line[REASON_SIZE];
};

/*
 * open_lock is taken before @lock, and before a device's lock. @lock is never held during a slow
 * system call. open_lock is not held while the kernel closes a device (up to a minute if the
 * function is gone) or resets it, nor while it maps a buffer, unless the backend is noiommu-group.
 * A hot reset and an open that fails do hold it.
 */
struct flatiommu {
	/*
	 * Held while a device is opened or given back. Protects the groups, the file descriptors
	 * and @attached. @backend and @devices change under both locks.
	 */
	pthread_mutex_t open_lock;
	struct group *groups;		/* with type1 and noiommu-group */
	int container;			/* with type1 and noiommu-group, or -1 */
	int iommufd;			/* with the other backends, or -1 */
	uint32_t ioas;
	int devnode;			/* /dev/flatiommu, or -1 if it is not needed */
	unsigned int attached;		/* number of attached devices, in the list or not */

	/* Held for moments only. Protects the other members, and the lists that begin here. */
	pthread_mutex_t lock;
	const struct backend *backend;	/* NULL: no device was opened yet */
	char backend_reason[256];
	char wanted[32];		/* backend that the options name; "": any */
	bool pins;			/* /dev/flatiommu pins buffers; see pinned.c */
	struct flatiommu_device *devices;
	unsigned int devices_changed;	/* number of changes to the list */
	struct buffer *buffers;
	struct buffer *kept;		/* freed, but still mapped at their IOVAs */
	struct place *places;		/* of mapped buffers, by address in the program */
	struct flatiommu_pool *pools;
	struct iova_space iovas;
	unsigned int iovas_changed;	/* number of changes to the allowed IOVAs */
	struct fault *fault;		/* of fault.c, or NULL; written under both locks */

	/* A byte that is 1. Its page is all zero in a forked child. */
	const char *ours;

	pthread_mutex_t reason_lock;
	/* The reason of the thread that opened the context, then those of others: reason_lock. */
	struct reason reasons;
	void (*log)(void *arg, enum flatiommu_log level, const char *line);
	void *log_arg;
};

struct region {
	uint64_t size;
	uint64_t offset;		/* in the device's file */
	uint32_t flags;			/* VFIO_REGION_INFO_FLAG_* */
	uint64_t bus;			/* address of a BAR of memory; 0: none, or not known */
	struct area *areas;		/* parts that can be mapped; NULL: @flags decides for all */
	unsigned int nr_areas;
};

struct area {
	uint64_t offset;
	uint64_t size;
};

/* A mapping of a BAR. */
struct view {
	struct view *next;		/* read by is_in_view() */
	struct view *next_ended;
	void *memory;			/* the caller's pointer */
	void *pages;			/* the mapping */
	size_t length;			/* bytes of @pages */
	bool is_buffer;			/* of peer.c; it ends with the buffer */
};

struct flatiommu_device {
	struct flatiommu *flat;
	struct flatiommu_device *next;	/* flat->lock */
	struct sysfs_function function;
	char name[32];
	char token[37];			/* a UUID, or "" */
	int fd;
	struct group *group;
	uint32_t flags;			/* VFIO_DEVICE_FLAGS_* */
	/* The program has closed it; it is kept because buffers need a device: flat->lock. */
	bool stopped;
	unsigned int peer_buffers;	/* number of buffers in its BARs: flat->lock */
	struct region regions[NR_REGIONS];

	/* Protects the command register and the members below. */
	pthread_mutex_t lock;
	bool was_master;		/* for unmap() in noiommu.c */
	bool was_reset;			/* since it was stopped */
	bool intx_signals;		/* INTx has an eventfd */
	struct view *views;
	struct view *ended_views;	/* is_in_view() may still read them */
	atomic_uint catching;		/* threads that may be in is_in_view(); no lock */
	unsigned int enabled[NR_IRQS];	/* highest enabled vector of the kind plus 1; 0: none */
};

/* Memory pinned through /dev/flatiommu for a device, with noiommu-group. */
struct pin {
	struct pin *next;
	struct flatiommu_device *device;
	uint32_t id;
};

struct buffer {
	struct flatiommu_dma dma;	/* its impl is the buffer, see buffer_of() */
	struct place place;		/* flat->lock */
	struct flatiommu *flat;		/* NULL: imported */
	struct buffer *next, **prev;	/* flat->lock */
	size_t *starts;			/* offset of each segment in the buffer */
	uint64_t base;			/* dma.bases, if there is one segment */
	char *pages;			/* the whole pages, which are mapped for the devices */
	size_t span;			/* bytes of @pages */
	uint64_t iova;			/* 0: none. flat->lock */
	bool is_kept;			/* in flat->kept, where it stays until the context ends */
	struct pin *pins;		/* one for each device, with noiommu-group */
	uint32_t pin;			/* pin for all devices, see pinned.c; 0: none. flat->lock */
	bool owned;			/* the library has mapped @pages, and unmaps them */
	bool read_only;			/* devices only read it */
	bool write_only;		/* devices only write to it */
	struct flatiommu_device *owner;	/* of the BAR, see peer.c; NULL: the buffer is memory */
	struct view *view;		/* of the BAR */
	uint64_t bus;			/* bus address of the BAR; 0: it is mapped at @iova */
	uint64_t wanted;		/* IOVA of a BAR if flat->fault is set; 0: any */
	struct piece **pieces;		/* of fault.c */
	size_t nr_pieces;
	int file;			/* the file of shared memory, or -1 */
	bool is_dmabuf;			/* @file is a dma-buf, and @pages is a mapping of it */
};

/* The address without the tag of its top byte, which arm64 ignores (MTE, HWASan). */
static inline uintptr_t untagged(const void *memory)
{
#ifdef __aarch64__
	return (uintptr_t)memory & (UINTPTR_MAX >> 8);
#else
	return (uintptr_t)memory;
#endif
}

static inline struct buffer *buffer_of(const struct flatiommu_dma *dma)
{
	return (struct buffer *)dma->impl;
}

/*
 * entry.c: every call of a program that has a context begins with enter() and ends with leave().
 * In a forked child enter() returns -ECHILD. Between the two the thread cannot be cancelled,
 * because it may hold a lock.
 */
struct entry {
	struct flatiommu *flat;
	int cancel;
};

int enter(struct entry *entry, struct flatiommu *flat);
int64_t leave(const struct entry *entry, int64_t ret);
bool is_ours(const struct flatiommu *flat);

#define CALL(flat, what) ({						\
	struct entry entry_;						\
	int refused_ = enter(&entry_, flat);				\
	refused_ ? refused_ : (__typeof__(what))leave(&entry_, what);	\
})
#define CALL_DEVICE(device, what) CALL((device) ? (device)->flat : NULL, what)
/* As CALL(), for a call without a context: the thread is not cancelled within it. */
#define CALL_ALONE(what) ({						\
	__typeof__(what) ret_;						\
	int state_;							\
									\
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state_);	\
	ret_ = what;							\
	pthread_setcancelstate(state_, NULL);				\
	ret_;								\
})

/*
 * reason.c: fail() records a message and returns @err. If the program's call fails, the last
 * message is its reason. Messages before it, and messages of a call that succeeds, are notes in the
 * log. say_no() is fail() for an error that answers a question: in the log it is a note, too.
 */
int fail(struct flatiommu *flat, int err, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
int say_no(struct flatiommu *flat, int err, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* Returns the last message of fail() in this thread. */
const char *latest_reason(void);
void end_reasons(struct flatiommu *flat, bool failed, int err);
int begin_reasons(struct flatiommu *flat);
void free_reasons(struct flatiommu *flat);
/* Returns the text of an errno, for messages of fail(). */
const char *errno_text(int err, char *text, size_t size);
#define ERRNO(err) errno_text(err, (char[64]){ 0 }, 64)

/* ioctl() that returns -errno. */
int call(int fd, unsigned long request, void *arg);
/* Closes *@fd unless it is -1, and sets it to -1. */
void close_fd(int *fd);

/* device.c */
/* Returns a device without a file and a function, or NULL after fail(). */
struct flatiommu_device *new_device(struct flatiommu *flat, const char *name);
/* Reads the properties of a device, whose file is open. */
int use_device(struct flatiommu_device *device);
/* Lists a device. Returns true if it is the only one. */
bool list_device(struct flatiommu_device *device);
/* open_lock and flat->lock are held, so a thread that holds one of them can read the list. */
void unlink_device(struct flatiommu_device *device);
/* Detaches a device whose file is closed. open_lock is held. */
void detach_device(struct flatiommu_device *device);
/* Frees a device that is not in the list and not attached any more. */
void forget_device(struct flatiommu_device *device);

/* command.c: the command register. */
/*
 * Enables memory and port decoding, which VFIO leaves unchanged, and disables bus mastering until
 * the program asks for it.
 */
int begin_command(struct flatiommu_device *device);
/* Allows the device to assert INTx, or forbids it. A device that is gone is no error. */
int set_intx(struct flatiommu_device *device, bool on);
/* For these two, device->lock is held. */
int set_bus_master(struct flatiommu_device *device, bool on);
bool is_bus_master(struct flatiommu_device *device);
/*
 * Without bus mastering a function begins no transaction, and its writes have arrived. Its reads
 * may still be pending (PCIe 7.5.3.5, Transactions Pending), for less than a second.
 */
void wait_for_transactions(struct flatiommu_device *device);

/* close.c */
/*
 * Ends the mappings, interrupts and DMA of a device. It stays open, and FLATIOMMU_IRQ_REQUEST still
 * signals. Returns 0, or -errno if the device does not answer.
 */
int stop_device(struct flatiommu_device *device);
/*
 * Closes devices that the program has closed but that were kept because buffers existed. Call it
 * when the last buffer was freed or another device was opened.
 */
void drop_stopped_devices(struct flatiommu *flat);
/* Gives a device back that is not in the list, and frees it. No lock is held. */
void end_device(struct flatiommu_device *device);

/*
 * quiet.c: the device was reset. If the context has no other one, nothing writes to buffers that
 * were freed, and the module need not hold them. open_lock is not held.
 */
void device_is_quiet(struct flatiommu_device *device);

/*
 * token.c: sets the device's VF token; @token NULL: to that of the environment, if it has one.
 * Returns 0, or calls fail() and returns -EINVAL.
 */
int read_token(struct flatiommu_device *device, const char *token);
/* Converts the device's token to the kernel's binary form. */
void token_bytes(const struct flatiommu_device *device, uint8_t bytes[16]);
/* Explains -EACCES of the call @step by fail(). Returns -ENOKEY or -EKEYREJECTED. */
int explain_token(struct flatiommu_device *device, const char *step);

/* context.c: returns the backend, or NULL if no device is open or kept. */
const struct backend *open_backend(const struct flatiommu *flat);

/* room.c: may @length bytes be allocated? Returns 0, or calls fail() and returns -ENOMEM. */
int check_room(struct flatiommu *flat, size_t length, enum flatiommu_dma_pages pages);

/* dma.c */
int check_dma_options(struct flatiommu *flat, size_t length,
		      const struct flatiommu_dma_options *options);
/* As check_dma_options(), for @call, which makes a buffer of memory that exists. */
int check_map_options(struct flatiommu *flat, const char *call, size_t length,
		      const struct flatiommu_dma_options *options);
/* Sets @read_only and @write_only of the buffer by the options' flags. */
void set_access(struct buffer *buffer, const struct flatiommu_dma_options *options);
/* Is the buffer within @address_bits, and in one segment if FLATIOMMU_DMA_CONTIGUOUS is set? */
int check_reach(struct flatiommu *flat, const struct buffer *buffer, uint32_t flags,
		unsigned int address_bits);
int alloc_dma(struct flatiommu *flat, size_t length, const struct flatiommu_dma_options *options,
	      struct flatiommu_dma **dma);
int free_dma(struct flatiommu *flat, struct flatiommu_dma *dma);
/* Maps the memory of a new buffer, and frees the buffer after an error. */
int map_new(struct flatiommu *flat, struct buffer *new, unsigned int address_bits,
	    struct flatiommu_dma **dma);

/* buffer.c */
/* Returns the highest address that has @bits bits; 0: any number of bits. */
uint64_t last_address(unsigned int bits);
/* Unmapping failed with @err, so devices may reach the buffer: calls fail(), leaks the memory. */
void keep_memory(struct flatiommu *flat, struct buffer *buffer, int err);
/* Frees a buffer. Returns 0, or -errno if the kernel did not unmap it: then its memory is kept. */
int free_buffer(struct buffer *buffer);
/* Frees a buffer's struct in a child, and its memory if it is shared. Other memory is not there. */
void forget_buffer(struct buffer *buffer);
/*
 * Maps, lists and indexes a buffer. Does not check that it suits the device. Returns 0, or -errno:
 * then the buffer is as before.
 */
int map_buffer(struct flatiommu *flat, struct buffer *buffer, unsigned int address_bits);
/* Returns 0 if the context has opened a device. */
int need_device(struct flatiommu *flat);
/* Frees a buffer that is not mapped, and its memory. */
void free_memory(struct buffer *buffer);

/*
 * index.c: makes the tables that find a segment by its offset. The buffer's memory, length, page
 * size and segments are set. Returns 0, -ENOMEM, or -EINVAL if a segment begins within a page.
 * drop_index() frees the tables, also half-made ones, and the segments.
 */
int index_segments(struct buffer *buffer);
void drop_index(struct buffer *buffer);

/* region.c */
int read_regions(struct flatiommu_device *device, unsigned int count);
void free_regions(struct flatiommu_device *device);
/* Unmaps all views but those of peer.c. */
void unmap_views(struct flatiommu_device *device);
int check_range(struct flatiommu_device *device, unsigned int index, uint64_t offset,
		uint64_t length);
/* These two: device->lock is held. */
int map_view(struct flatiommu_device *device, unsigned int bar, uint64_t offset, size_t length,
	     struct view **view);
void unmap_view(struct flatiommu_device *device, struct view *view);
/* Is a part of the memory a BAR of one of the context's devices? */
bool is_bar(struct flatiommu *flat, const void *memory, size_t length);
/*
 * Is a BAR of the device mapped at @address? device->catching is not 0. Signal handlers may call
 * it, too.
 */
bool is_in_view(struct flatiommu_device *device, uintptr_t address);
int access_region(struct flatiommu_device *device, unsigned int region, uint64_t offset, void *data,
		  size_t length, bool write);

/* peer.c */
/* Reads the bus addresses of an open device's BARs. Returns 0, or calls fail(), returns -errno. */
int read_bar_addresses(struct flatiommu_device *device);
/* Sets the segment of a buffer that needs no map. Returns 0, or calls fail(), returns -errno. */
int set_peer_segment(struct flatiommu *flat, struct buffer *buffer);
/* Ends the view of a buffer that is not mapped any more. */
void drop_peer(const struct buffer *buffer);
/* Returns the number of buffers in the device's BARs. */
unsigned int count_peer_buffers(struct flatiommu_device *device);

/* pool.c: frees all pools of the context, but not their buffers. */
void forget_pools(struct flatiommu *flat);

/* config.c: finds the first capability @id. Does not call fail() if there is none. */
int find_capability(struct flatiommu_device *device, uint8_t id, unsigned int *offset);

/* irq.c: disables FLATIOMMU_IRQ_REQUEST only if @all. device->lock is held. */
void disable_irqs(struct flatiommu_device *device, bool all);

#endif
