/* SPDX-License-Identifier: MIT */
/*
 * What the library's files share. A context, its devices and buffers; each file says what it does
 * with them.
 */
#ifndef LIB_INTERNAL_H
#define LIB_INTERNAL_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <flatiommu.h>

#include "backend.h"
#include "cause.h"
#include "iova.h"
#include "place.h"
#include "sysfs.h"

#define NR_REGIONS	9	/* VFIO_PCI_NUM_REGIONS */
#define NR_IRQS		5	/* VFIO_PCI_NUM_IRQS */
#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

/* Bytes of an ordinary page of the kernel that runs: 4096, or 16 or 64 KiB on some of arm64. */
size_t small_page_size(void);

/* A file descriptor of a VFIO group, for as long as devices of it are in the context. */
struct group {
	struct group *next;
	int id;
	int fd;
	unsigned int devices;
};

#define REASON_SIZE 1024

struct thread;			/* reason.c */

/* Why the latest call of a thread failed. There is one for each thread that has, and lives. */
struct reason {
	struct reason *next;
	struct thread *thread;
	char line[REASON_SIZE];
};

/*
 * Two locks, the first one taken before the other, and before any device's. Neither is held as the
 * kernel closes a device, which takes a minute for a function that is gone, and resets or maps
 * something.
 */
struct flatiommu {
	/*
	 * One device is opened or let go at a time. Protects what devices are attached to: the
	 * groups, the file descriptors, and @attached; @backend and @devices change under both locks.
	 */
	pthread_mutex_t open_lock;
	struct group *groups;		/* with type1, and noiommu-group */
	int container;			/* the same, or -1 */
	int iommufd;			/* with the others, or -1 */
	uint32_t ioas;
	int flat;			/* /dev/flatiommu, or -1 where it is not needed */
	unsigned int attached;		/* devices that are, listed or not */

	/* For moments only. Protects the rest, and the lists that begin here. */
	pthread_mutex_t lock;
	const struct backend *backend;	/* NULL: no device was opened yet */
	char backend_reason[256];
	char wanted[32];		/* by the options; "": any */
	bool pins;			/* /dev/flatiommu pins buffers; see pinned.c */
	struct flatiommu_device *devices;
	unsigned int devices_changed;	/* how often the list did */
	struct buffer *buffers;
	struct place *places;		/* of those that are mapped, in the program's memory */
	struct flatiommu_pool *pools;
	struct iova_space iovas;
	unsigned int iovas_changed;	/* how often */

	/* A page that is all zero in a child that was forked. */
	const char *ours;

	pthread_mutex_t reason_lock;
	/* Of the thread that opened the context, and behind it of others: reason_lock. */
	struct reason reasons;
	void (*log)(void *arg, enum flatiommu_log level, const char *line);
	void *log_arg;
};

struct region {
	uint64_t size;
	uint64_t offset;		/* in the device's file */
	uint32_t flags;			/* VFIO_REGION_INFO_FLAG_* */
	struct area *areas;		/* that can be mapped; NULL: all of it, given the flag */
	unsigned int nr_areas;
};

struct area {
	uint64_t offset;
	uint64_t size;
};

/* A mapping of a BAR. */
struct view {
	struct view *next;
	void *memory;			/* as the caller has it */
	void *pages;
	size_t length;			/* of @pages */
};

struct flatiommu_device {
	struct flatiommu *flat;
	struct flatiommu_device *next;	/* flat->lock */
	struct function function;
	char name[32];
	char token[37];			/* a UUID, or "" */
	int fd;
	struct group *group;
	uint32_t flags;			/* VFIO_DEVICE_FLAGS_* */
	/* Closed by the program, and kept, as buffers need a device: flat->lock. */
	bool stopped;
	struct region regions[NR_REGIONS];

	/* Protects the command register, and what follows. */
	pthread_mutex_t lock;
	bool was_master;		/* during an unmap of noiommu.c */
	struct view *views;
	unsigned int enabled[NR_IRQS];	/* vectors behind the last one that is */
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
	size_t *starts;			/* of each segment, in the buffer */
	uint64_t base;			/* dma.bases of one segment */
	char *pages;			/* the pages of it, that are mapped for the devices */
	size_t span;			/* their bytes */
	uint64_t iova;			/* flat->lock; 0: it has none */
	struct pin *pins;		/* with noiommu-group */
	uint32_t pin;			/* for all devices, see pinned.c; 0: none. flat->lock */
	bool owned;			/* pages are the library's */
	bool read_only;			/* for devices */
	int file;			/* of shared memory, or -1 */
};

static inline struct buffer *buffer_of(const struct flatiommu_dma *dma)
{
	return (struct buffer *)dma->impl;
}

/*
 * entry.c: every call of a program that takes a context begins and ends here. A child that was
 * forked is refused, and no thread is cancelled within the library: it might hold a lock.
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

/*
 * reason.c: fail() says why and returns @err. Whether it is why the program's call fails is known
 * as that ends: what something else made good is a note in the log, and no reason. So is the answer
 * of say_no().
 */
int fail(struct flatiommu *flat, int err, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
int say_no(struct flatiommu *flat, int err, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* What fail() has said last in this thread. */
const char *latest_reason(void);
void end_reasons(struct flatiommu *flat, bool failed, int err);
int begin_reasons(struct flatiommu *flat);
void free_reasons(struct flatiommu *flat);
/* The text of an errno, for the texts of fail(). */
const char *errno_text(int err, char *text, size_t size);
#define ERRNO(err) errno_text(err, (char[64]){ 0 }, 64)

/* ioctl() that returns -errno. */
int call(int fd, unsigned long request, void *arg);
/* Closes a file descriptor that is one. */
void close_fd(int *fd);

/* device.c */
int use_device(struct flatiommu_device *device);
/* These two: device->lock is held. */
int set_bus_master(struct flatiommu_device *device, bool on);
bool is_bus_master(struct flatiommu_device *device);
/*
 * What was mapped, interrupts, DMA: all that a program has of it. It stays open, and goes on to say
 * that it is asked for. 0, or -errno when it does not answer.
 */
int stop_device(struct flatiommu_device *device);
/* Those that are kept for the buffers' sake, once there are none, or there is another device. */
void drop_stopped_devices(struct flatiommu *flat);
/* Of one that is unlinked: gives it back, and its memory. No lock is held. */
void end_device(struct flatiommu_device *device);
void forget_device(struct flatiommu_device *device);

/*
 * token.c: the VF token that a device is opened with; NULL is that of the environment, if any. 0, or -EINVAL
 * having called fail().
 */
int read_token(struct flatiommu_device *device, const char *token);
/* The token as the kernel has it, of a device that has one. */
void token_bytes(const struct flatiommu_device *device, uint8_t bytes[16]);
/* What -EACCES of the call @step means, with the cure. Returns -ENOKEY, or -EKEYREJECTED. */
int explain_token(struct flatiommu_device *device, const char *step);

/* context.c: NULL: no device is open or kept. */
const struct backend *open_backend(const struct flatiommu *flat);

/* room.c: 0, or -ENOMEM having called fail(). */
int check_room(struct flatiommu *flat, size_t length, enum flatiommu_dma_pages pages);

/* dma.c */
/* Devices may still reach it, as @err kept it from being unmapped: it must not become anybody else's. */
int check_dma_options(struct flatiommu *flat, size_t length, const struct flatiommu_dma_options *options);
int alloc_dma(struct flatiommu *flat, size_t length, const struct flatiommu_dma_options *options,
	      struct flatiommu_dma **dma);
int free_dma(struct flatiommu *flat, struct flatiommu_dma *dma);
void keep_memory(struct flatiommu *flat, struct buffer *buffer, int err);
int free_buffer(struct buffer *buffer);
void forget_buffer(struct buffer *buffer);

/*
 * index.c: has the buffer's segments found by offset; its memory, length, page size and segments are
 * set. 0, -ENOMEM, or -EINVAL where a segment begins within a page. drop_index() frees the segments, too,
 * and whatever was made of the index.
 */
int index_segments(struct buffer *buffer);
void drop_index(struct buffer *buffer);

/* region.c */
int read_regions(struct flatiommu_device *device, unsigned int count);
void free_regions(struct flatiommu_device *device);
void unmap_views(struct flatiommu_device *device);
int access_region(struct flatiommu_device *device, unsigned int region, uint64_t offset, void *data,
		  size_t length, bool write);

/* pool.c: all of them, but for their memory. */
void forget_pools(struct flatiommu *flat);

/* config.c: the first one, without a word when there is none. */
int find_capability(struct flatiommu_device *device, uint8_t id, unsigned int *offset);

/* irq.c: but for FLATIOMMU_IRQ_REQUEST, unless @all. device->lock is held. */
void disable_irqs(struct flatiommu_device *device, bool all);

#endif
