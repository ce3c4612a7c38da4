/** What a netlink socket takes; the same on x86-64 and AArch64 (test/real/abi compiles it against the headers). */
export const Netlink = {
  AF_NETLINK: 16,
  SOCK_DGRAM: 2,
  SOCK_CLOEXEC: 0o2000000,
  NETLINK_KOBJECT_UEVENT: 15,
  SOL_SOCKET: 1,
  SO_RCVTIMEO: 20,
  ENOBUFS: 105,
  EAGAIN: 11,
  EINTR: 4,
} as const;

/** struct sockaddr_nl (include/uapi/linux/netlink.h): u16 family, u16 pad, u32 port (0: the kernel chooses), u32 groups. */
export const SockaddrNl = { size: 12, offset: { nlFamily: 0, nlPid: 4, nlGroups: 8 } } as const;

/** struct timeval: two 64-bit words, seconds and microseconds. */
export const Timeval = { size: 16, offset: { tvSec: 0, tvUsec: 8 } } as const;
