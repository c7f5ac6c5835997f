/* SPDX-License-Identifier: MIT */
/*
 * Definitions of the NVMe specifications that this driver uses: registers, commands, completions.
 *
 * "base" is the NVM Express Base Specification 2.0, "nvm" the NVM Command Set Specification 1.0,
 * "pcie" the NVMe over PCIe Transport Specification 1.0.
 */
#ifndef EXAMPLE_NVME_SPEC_H
#define EXAMPLE_NVME_SPEC_H

#include <assert.h>
#include <endian.h>
#include <linux/types.h>
#include <stddef.h>
#include <stdint.h>

/* For sparse, __le16 and the like are separate types. Only these functions convert them. */
#ifdef __CHECKER__
#define NVME_FORCE __attribute__((force))
#else
#define NVME_FORCE
#endif

static inline __le16 to_le16(uint16_t v) { return (NVME_FORCE __le16)htole16(v); }
static inline __le32 to_le32(uint32_t v) { return (NVME_FORCE __le32)htole32(v); }
static inline __le64 to_le64(uint64_t v) { return (NVME_FORCE __le64)htole64(v); }
static inline uint16_t from_le16(__le16 v) { return le16toh((NVME_FORCE uint16_t)v); }
static inline uint32_t from_le32(__le32 v) { return le32toh((NVME_FORCE uint32_t)v); }
static inline uint64_t from_le64(__le64 v) { return le64toh((NVME_FORCE uint64_t)v); }

/* Controller properties in BAR0: base 3.1.3. */
#define NVME_REG_CAP	0x00	/* controller capabilities, 64 bits */
#define NVME_REG_VS	0x08	/* version */
#define NVME_REG_CC	0x14	/* controller configuration */
#define NVME_REG_CSTS	0x1c	/* controller status */
#define NVME_REG_AQA	0x24	/* admin queue attributes */
#define NVME_REG_ASQ	0x28	/* admin submission queue base, 64 bits */
#define NVME_REG_ACQ	0x30	/* admin completion queue base, 64 bits */
#define NVME_REG_DB	0x1000	/* doorbells: pcie 3.1.2 */

/* CAP: base 3.1.3.1. */
#define NVME_CAP_MQES(cap)	((unsigned int)((cap) & 0xffff))	/* 0's based */
#define NVME_CAP_TO(cap)	((unsigned int)((cap) >> 24 & 0xff))	/* units of 500 ms */
#define NVME_CAP_DSTRD(cap)	((unsigned int)((cap) >> 32 & 0xf))
#define NVME_CAP_CSS_NVM(cap)	((unsigned int)((cap) >> 37 & 1))
#define NVME_CAP_MPSMIN(cap)	((unsigned int)((cap) >> 48 & 0xf))

/* CC: base 3.1.3.5. Zero in CSS, MPS and AMS: NVM command set, 4 KiB pages, round robin. */
#define NVME_CC_EN		(1u << 0)
#define NVME_CC_SHN_NORMAL	(1u << 14)
#define NVME_CC_SHN_MASK	(3u << 14)
#define NVME_CC_IOSQES		(6u << 16)	/* 2^6: sizeof(struct nvme_sqe) */
#define NVME_CC_IOCQES		(4u << 20)	/* 2^4: sizeof(struct nvme_cqe) */

/* CSTS: base 3.1.3.6. */
#define NVME_CSTS_RDY		(1u << 0)
#define NVME_CSTS_CFS		(1u << 1)
#define NVME_CSTS_SHST_MASK	(3u << 2)
#define NVME_CSTS_SHST_DONE	(2u << 2)

/* Submission queue entry, the command: base 3.3.3.1. */
struct nvme_sqe {
	uint8_t opcode;
	uint8_t flags;		/* 0: not fused, PRPs */
	__le16 cid;
	__le32 nsid;
	__le32 cdw2;
	__le32 cdw3;
	__le64 mptr;
	__le64 prp1;
	__le64 prp2;
	__le32 cdw10;
	__le32 cdw11;
	__le32 cdw12;
	__le32 cdw13;
	__le32 cdw14;
	__le32 cdw15;
};

static_assert(sizeof(struct nvme_sqe) == 64, "base 3.3.3.1");

/* Completion queue entry: base 3.3.3.2. */
struct nvme_cqe {
	__le32 dw0;
	__le32 dw1;
	__le16 sq_head;
	__le16 sq_id;
	__le16 cid;
	__le16 status;		/* phase tag in bit 0 */
};

static_assert(sizeof(struct nvme_cqe) == 16, "base 3.3.3.2");

#define NVME_STATUS_PHASE(s)	((s) & 1)
#define NVME_STATUS_SC(s)	((s) >> 1 & 0xff)	/* status code */
#define NVME_STATUS_SCT(s)	((s) >> 9 & 7)		/* status code type */
#define NVME_STATUS_DNR(s)	((s) >> 15 & 1)		/* do not retry */

/* Admin commands: base 5. */
#define NVME_ADMIN_DELETE_SQ	0x00	/* 5.7 */
#define NVME_ADMIN_CREATE_SQ	0x01	/* 5.5 */
#define NVME_ADMIN_DELETE_CQ	0x04	/* 5.6 */
#define NVME_ADMIN_CREATE_CQ	0x05	/* 5.4 */
#define NVME_ADMIN_IDENTIFY	0x06	/* 5.17 */
#define NVME_ADMIN_SET_FEATURES	0x09	/* 5.27 */

#define NVME_QUEUE_CONTIGUOUS	(1u << 0)	/* PC, cdw11 of both creates */
#define NVME_CQ_INTERRUPTS	(1u << 1)	/* IEN, cdw11 of create CQ; vector in 31:16 */

#define NVME_CNS_NAMESPACE	0x00
#define NVME_CNS_CONTROLLER	0x01
#define NVME_CNS_ACTIVE_NSIDS	0x02

#define NVME_FEATURE_QUEUES	0x07	/* 5.27.1.5 */

/* I/O commands: base 7.1, nvm 3.2.4 and 3.2.6. */
#define NVME_CMD_FLUSH		0x00
#define NVME_CMD_WRITE		0x01
#define NVME_CMD_READ		0x02

/* Identify controller, CNS 01h: base 5.17.2.1. */
struct nvme_id_ctrl {
	__le16 vid;
	__le16 ssvid;
	char sn[20];
	char mn[40];
	char fr[8];
	uint8_t rab;
	uint8_t ieee[3];
	uint8_t cmic;
	uint8_t mdts;		/* largest transfer: 2^mdts minimum pages, 0 for no limit */
	uint8_t reserved78[10];
	__le32 rtd3e;		/* how long a shutdown takes, in us */
	uint8_t reserved92[433];
	uint8_t vwc;		/* bit 0: has a volatile write cache */
	uint8_t reserved526[3570];
};

static_assert(offsetof(struct nvme_id_ctrl, mdts) == 77, "base 5.17.2.1");
static_assert(offsetof(struct nvme_id_ctrl, rtd3e) == 88, "base 5.17.2.1");
static_assert(offsetof(struct nvme_id_ctrl, vwc) == 525, "base 5.17.2.1");
static_assert(sizeof(struct nvme_id_ctrl) == 4096, "base 5.17.2.1");

/* Identify namespace, CNS 00h: nvm 4.1.5.1. */
struct nvme_id_ns {
	__le64 nsze;		/* blocks */
	__le64 ncap;
	__le64 nuse;
	uint8_t nsfeat;
	uint8_t nlbaf;		/* formats, 0's based */
	uint8_t flbas;		/* index of the format in use, in bits 3:0 and 6:5 */
	uint8_t reserved27[101];
	__le32 lbaf[64];	/* metadata bytes 15:0, log2 of the block size 23:16 */
	uint8_t reserved384[3712];
};

static_assert(offsetof(struct nvme_id_ns, lbaf) == 128, "nvm 4.1.5.1");
static_assert(sizeof(struct nvme_id_ns) == 4096, "nvm 4.1.5.1");

#endif
