// SPDX-License-Identifier: MIT
/* xdp INTERFACE: gives it an XDP program that passes all frames on. Exit status 3: the kernel has no bpf(). */
#include <err.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static int load(void)
{
	static const struct bpf_insn code[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = XDP_PASS },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	union bpf_attr attr = {
		.prog_type = BPF_PROG_TYPE_XDP,
		.insns = (unsigned long)code,
		.insn_cnt = sizeof(code) / sizeof(*code),
		.license = (unsigned long)"GPL",
	};

	return syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof(attr));
}

int main(int argc, char **argv)
{
	struct {
		struct nlmsghdr header;
		struct ifinfomsg link;
		struct nlattr xdp, fd;
		int program;
		struct nlattr flags;
		unsigned int how;
	} request = {
		.header = {
			.nlmsg_len = sizeof(request),
			.nlmsg_type = RTM_SETLINK,
			.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK,
		},
		.xdp = { .nla_len = 20, .nla_type = IFLA_XDP | NLA_F_NESTED },
		.fd = { .nla_len = 8, .nla_type = IFLA_XDP_FD },
		.program = load(),
		.flags = { .nla_len = 8, .nla_type = IFLA_XDP_FLAGS },
		.how = XDP_FLAGS_SKB_MODE,
	};
	struct {
		struct nlmsghdr header;
		struct nlmsgerr error;
		char more[256];
	} answer;
	int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);

	if (argc != 2)
		errx(2, "xdp INTERFACE");
	if (request.program < 0)
		err(errno == ENOSYS ? 3 : 1, "bpf");
	request.link.ifi_index = if_nametoindex(argv[1]);
	if (send(fd, &request, sizeof(request), 0) < 0 || recv(fd, &answer, sizeof(answer), 0) < 0)
		err(1, "netlink");
	errno = -answer.error.error;
	if (errno)
		err(1, "%s", argv[1]);
	return 0;
}
