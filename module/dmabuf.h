/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef FLATIOMMU_DMABUF_H
#define FLATIOMMU_DMABUF_H

#include <linux/err.h>
#include <linux/types.h>

struct flat_dmabuf;
struct flat_domain;
struct flat_pages;

#ifdef CONFIG_DMA_SHARED_BUFFER
struct flat_dmabuf *flat_dmabuf_get(struct flat_pages *p, int fd, u64 first, u64 n, bool writable);
void flat_dmabuf_put(struct flat_dmabuf *d, struct flat_domain *domain);
unsigned long flat_dmabuf_pages(const struct flat_dmabuf *d);
unsigned long flat_dmabuf_overhead(const struct flat_dmabuf *d);
int flat_dmabuf_init(void);
void flat_dmabuf_exit(void);
#else
static inline struct flat_dmabuf *flat_dmabuf_get(struct flat_pages *p, int fd, u64 first, u64 n,
						  bool writable)
{
	return ERR_PTR(-EOPNOTSUPP);
}

static inline void flat_dmabuf_put(struct flat_dmabuf *d, struct flat_domain *domain)
{
}

static inline unsigned long flat_dmabuf_pages(const struct flat_dmabuf *d)
{
	return 0;
}

static inline unsigned long flat_dmabuf_overhead(const struct flat_dmabuf *d)
{
	return 0;
}

static inline int flat_dmabuf_init(void)
{
	return 0;
}

static inline void flat_dmabuf_exit(void)
{
}
#endif

#endif /* FLATIOMMU_DMABUF_H */
