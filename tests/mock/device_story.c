// sluice-dp on devices, over a veth or a tap in network namespaces of its own: media reaches us while ARP, neighbour
// discovery, ping, TCP and other UDP reach the kernel. argv[1]:
//
//   af_packet  net_af_packet on one end of a veth
//   af_xdp     net_af_xdp with our XDP filter on one end of a veth; the daemon is killed first, so that a filter is
//              left behind
//   tap        a device taken over whole (the DPDK side of a tap), the rest goes to the kernel by sluice0
//   tap-plain  the same with offloads=off
//   alone      the same with kernel=off: ARP, neighbour solicitations and ping are answered by sluice-dp
//
// argv[2]: workers, 1 or 2.
// Two namespaces: the daemon and its kernel interface are in one, the clients in the other. Both are anonymous and go
// with this process. Needs root.
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "tests/mock/mock.h"

#define SERVER4 "198.51.100.1"
#define SERVER6 "2001:db8:5::1"
#define CLIENT4 "198.51.100.2"
#define CLIENT6 "2001:db8:5::2"
#define N_PEERS 4 // the last one over IPv6
#define TCP_BYTES (4 << 20)
#define TCP_PORT 8045
#define OTHER_UDP_PORT 9999

static int ns_server, ns_client; // namespaces
static bool two_workers;

static void run(const char *fmt, ...)
{
	char cmd[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(cmd, sizeof(cmd), fmt, ap);
	va_end(ap);
	if (system(cmd) != 0)
		die(EXIT_OS, "failed: %s", cmd);
}

static void enter(int ns)
{
	if (setns(ns, CLONE_NEWNET) < 0)
		die(EXIT_OS, "setns: %s", strerror(errno));
}

// A new namespace, entered; its descriptor.
static int new_namespace(void)
{
	if (unshare(CLONE_NEWNET) < 0) {
		printf("1..0 # SKIP network namespaces: %s\n", strerror(errno));
		exit(0);
	}
	run("ip link set lo up");
	return open("/proc/self/ns/net", O_RDONLY); // inherited by ip, which is told "netns /proc/PID/fd/N"
}

static void client_link(const char *dev)
{
	enter(ns_client);
	run("ip addr add " CLIENT4 "/24 dev %s && ip addr add " CLIENT6
	    "/64 dev %s nodad && ip link set %s up",
	    dev, dev, dev);
}

static void move_to_client(const char *dev)
{
	run("ip link set %s netns /proc/%d/fd/%d", dev, getpid(), ns_client);
}

static void make_veth(const char *options)
{
	enter(ns_server);
	run("ip link add va %s type veth peer name vb %s", options, options);
	move_to_client("vb");
	run("ip addr add " SERVER4 "/24 dev va && ip addr add " SERVER6
	    "/64 dev va nodad && ip link set va up");
	client_link("vb");
}

// --- the kernel's part -------------------------------------------------------------------------
// Whether an echo request of this family is answered within the time.
static bool ping(int family)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
	uint8_t msg[64] = {family == AF_INET ? ICMP_ECHO : ICMP6_ECHO_REQUEST, [5] = 77}, got[256];
	int fd = socket(family, SOCK_RAW, family == AF_INET ? (int)IPPROTO_ICMP : (int)IPPROTO_ICMPV6);
	uint32_t sum = 0;
	bool ok = false;

	inet_pton(AF_INET, SERVER4, &v4.sin_addr);
	inet_pton(AF_INET6, SERVER6, &v6.sin6_addr);
	for (size_t i = 0; i < sizeof(msg); i += 2)
		sum += be16_get(msg + i);
	be16_put(msg + 2, (uint16_t) ~((sum & 0xffff) + (sum >> 16))); // IPv6: the kernel computes its own
	for (int try = 0; try < 3 && !ok; try++) {
		if (family == AF_INET)
			(void)!sendto(fd, msg, sizeof(msg), 0, (void *)&v4, sizeof(v4));
		else
			(void)!sendto(fd, msg, sizeof(msg), 0, (void *)&v6, sizeof(v6));
		struct pollfd p = {.fd = fd, .events = POLLIN};
		for (ns_t end = clock_now() + NS_PER_S; !ok && clock_now() < end && poll(&p, 1, 1000) > 0;) {
			ssize_t len = recv(fd, got, sizeof(got), 0);
			size_t at = family == AF_INET ? 20 : 0; // a raw IPv4 socket gives the IP header
			ok = len >= (ssize_t)(at + sizeof(msg)) && got[at + 5] == 77 &&
			     got[at] == (family == AF_INET ? ICMP_ECHOREPLY : ICMP6_ECHO_REPLY);
		}
	}
	close(fd);
	return ok;
}

// A process in the server's namespace that sends TCP_BYTES to who connects, and answers other UDP.
static pid_t kernel_servers(void)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(TCP_PORT)};
	struct sockaddr_in udp = {.sin_family = AF_INET, .sin_port = htons(OTHER_UDP_PORT)}, from;
	static uint8_t bytes[TCP_BYTES];
	socklen_t from_len = sizeof(from);
	const int on = 1;

	enter(ns_server);
	int tcp_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0),
	    udp_fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	setsockopt(tcp_fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(tcp_fd, (void *)&at, sizeof(at)) < 0 || listen(tcp_fd, 4) < 0 ||
	    bind(udp_fd, (void *)&udp, sizeof(udp)) < 0)
		die(EXIT_OS, "kernel servers: %s", strerror(errno));
	pid_t pid = fork();
	if (pid != 0) {
		close(tcp_fd);
		close(udp_fd);
		enter(ns_client);
		return pid;
	}
	for (;;) {
		struct pollfd p[2] = {{tcp_fd, POLLIN, 0}, {udp_fd, POLLIN, 0}};
		poll(p, 2, -1);
		if (p[1].revents) {
			ssize_t len = recvfrom(udp_fd, bytes, 100, 0, (void *)&from, &from_len);
			(void)!sendto(udp_fd, bytes, (size_t)len, 0, (void *)&from, from_len);
		}
		int fd = p[0].revents ? accept(tcp_fd, NULL, NULL) : -1;
		for (size_t sent = 0; fd >= 0 && sent < sizeof(bytes);) {
			ssize_t n = send(fd, bytes + sent, sizeof(bytes) - sent, MSG_NOSIGNAL);
			if (n <= 0)
				break;
			sent += (size_t)n;
		}
		if (fd >= 0)
			close(fd);
	}
}

static int connect_to(int type, uint16_t port, int wait_s)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
	struct timeval limit = {.tv_sec = wait_s};
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

	inet_pton(AF_INET, SERVER4, &to.sin_addr);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	if (connect(fd, (void *)&to, sizeof(to)) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static size_t tcp_read_all(void)
{
	static uint8_t part[65536];
	int fd = connect_to(SOCK_STREAM, TCP_PORT, 5);
	size_t got = 0;

	for (ssize_t n; fd >= 0 && (n = recv(fd, part, sizeof(part), 0)) > 0;)
		got += (size_t)n;
	if (fd >= 0)
		close(fd);
	return got;
}

static bool other_udp(void)
{
	uint8_t got[16];
	int fd = connect_to(SOCK_DGRAM, OTHER_UDP_PORT, 2);
	bool ok = fd >= 0 && send(fd, "other", 5, 0) == 5 && recv(fd, got, sizeof(got), 0) == 5;

	close(fd);
	return ok;
}

// ICMP errors that reached the clients' namespace on a raw socket.
static unsigned count_unreachable(int fd)
{
	uint8_t got[256];
	unsigned n = 0;

	for (ssize_t len; (len = recv(fd, got, sizeof(got), MSG_DONTWAIT)) > 0;)
		n += len > 20 && got[20] == ICMP_UNREACH;
	return n;
}

// --- the call ----------------------------------------------------------------------------------
struct call {
	struct mock_dp dp;
	struct mock_peer peer[N_PEERS];
};

static void join_all(struct call *c)
{
	static const enum seal_profile profiles[] = {SEAL_AEAD_AES_128_GCM, SEAL_AEAD_AES_256_GCM,
						     SEAL_AES128_CM_SHA1_80};

	for (unsigned i = 0; i < N_PEERS; i++) {
		c->dp.server = i == N_PEERS - 1 ? SERVER6 : SERVER4;
		mock_join(&c->peer[i], &c->dp, 0x01000000 + i, profiles[i % 3]);
	}
	for (unsigned i = 0; i < N_PEERS; i++)
		for (unsigned k = 0; k < N_PEERS; k++)
			if (i != k)
				mock_subscribe(&c->peer[i], &c->peer[k]);
}

static bool talk(struct call *c, unsigned n)
{
	unsigned heard = 0;

	for (unsigned round = 0; round < n; round++) {
		for (unsigned i = 0; i < N_PEERS; i++)
			mock_voice(&c->peer[i], 40);
		for (unsigned i = 0; i < N_PEERS; i++)
			heard += mock_hear(&c->peer[i], N_PEERS - 1, 1000);
	}
	unsigned want = n * N_PEERS * (N_PEERS - 1);
	if (heard != want)
		printf("# heard %u of %u\n", heard, want);
	// Two workers on a machine with less cores than work may keep a packet too long between them, and drop it.
	return two_workers ? heard >= want - want / 20 : heard == want;
}

static void test_media(struct call *c)
{
	int icmp = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
	uint64_t n_odd = 0;

	join_all(c);
	mock_ok(true, "STUN checks are answered, over IPv4 and IPv6");
	mock_ok(talk(c, 100), "participants hear all packets of each other, over IPv4 and IPv6");
	for (unsigned i = 0; i < N_PEERS; i++) {
		n_odd += c->peer[i].n_bad;
		for (unsigned k = 0; k < c->peer[i].n_streams; k++)
			n_odd += two_workers ? 0 : c->peer[i].stream[k].n_gaps + c->peer[i].stream[k].n_late;
	}
	mock_ok(n_odd == 0, "every tag is right, no sequence number is missing");
	mock_ok(count_unreachable(icmp) == 0, "the kernel sends no ICMP errors about them");
	close(icmp);
}

static void test_kernel(void)
{
	pid_t servers = kernel_servers();
	size_t got;

	mock_ok(ping(AF_INET), "ping is answered, so ARP is");
	mock_ok(ping(AF_INET6), "ping over IPv6 is answered, so neighbour discovery is");
	got = tcp_read_all();
	mock_ok(got == TCP_BYTES, "TCP works: %zu bytes came", got);
	mock_ok(other_udp(), "UDP to other ports reaches the kernel");
	kill(servers, SIGKILL);
	waitpid(servers, NULL, 0);
}

// Killed, not stopped: what it leaves on the interface must not hinder its successor.
static void kill_daemon(struct mock_dp *d)
{
	kill(d->pid, SIGKILL);
	waitpid(d->pid, NULL, 0);
	mock_disconnect(d);
	run("rm -rf '%s'", d->dir);
}

static bool has_xdp(void)
{
	enter(ns_server);
	bool yes = system("ip link show va | grep -q prog/xdp") == 0;
	enter(ns_client);
	return yes;
}

static void start(struct call *c, const char *argv0, const char *port)
{
	static char yaml[512];

	snprintf(yaml, sizeof(yaml),
		 "  ports: [\"%s\"]\n  addresses: [\"" SERVER4 "/24\", \"" SERVER6 "/64\"]\n%s", port,
		 two_workers ? "  worker_cores: \"0,1\"\n  idle: sleep\n" : "");
	enter(ns_server);
	mock_dp_start(&c->dp, argv0, yaml);
	enter(ns_client);
}

// Start the daemon on a device it must refuse: exit status 69 and a message that has the words.
static void test_refused(const char *argv0, const char *port, const char *words, const char *what)
{
	char dir[] = "/tmp/sluice-mock.XXXXXX", check[512];

	if (!mkdtemp(dir))
		die(EXIT_OS, "mkdtemp: %s", strerror(errno));
	run("printf 'dataplane:\\n  socket: %s/s\\n  ports: [\"%s\"]\\n  addresses: [\"" SERVER4
	    "/24\"]\\n' >%s/c.yaml",
	    dir, port, dir);
	run("timeout 10 $(dirname '%s')/sluice-dp --config %s/c.yaml 2>%s/err; echo \"status $?\" >>%s/err",
	    argv0, dir, dir, dir);
	snprintf(check, sizeof(check), "grep -q '%s' %s/err && grep -qx 'status 69' %s/err", words, dir, dir);
	mock_ok(system(check) == 0, "%s", what);
	run("sed 's/^/# /' %s/err; rm -rf '%s'", dir, dir);
}

// A program that is not ours on the interface, as another XDP user would have it.
static void attach_foreign(const char *iface)
{
	const struct bpf_insn pass[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = XDP_PASS},
		{.code = BPF_JMP | BPF_EXIT},
	};
	int fd = bpf_prog_load(BPF_PROG_TYPE_XDP, "foreign", "GPL", pass, ARRAY_LEN(pass), NULL);

	if (fd < 0 || bpf_xdp_attach((int)if_nametoindex(iface), fd, 0, NULL) < 0)
		die(EXIT_OS, "XDP program on %s: %s", iface, strerror(errno));
	close(fd);
}

static void test_refusals(const char *argv0)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(8443)}; // the default
	int fd;

	enter(ns_server);
	test_refused(argv0, "net_af_xdp0,iface=none", "no interface \"none\"",
		     "a missing interface is refused by name");
	// A queue that no socket can serve would lose its packets.
	run("ip link add many numrxqueues 4 type veth peer name many1");
	test_refused(argv0, "net_af_xdp0,iface=many", "ethtool -L many rx 1",
		     "an interface with more receive queues than DPDK can serve is refused with the command "
		     "that helps");
	attach_foreign("many");
	test_refused(argv0, "net_af_xdp0,iface=many", "XDP program \"foreign\"",
		     "another owner's XDP program is refused by name");
	mock_ok(system("ip link show many | grep -q prog/xdp") == 0, "and left alone");
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (bind(fd, (void *)&at, sizeof(at)) < 0)
		die(EXIT_OS, "bind: %s", strerror(errno));
	test_refused(argv0, "net_af_packet0,iface=many", "ss -ulpn sport = :8443",
		     "a port that somebody holds is refused");
	close(fd);
	run("ip link del many");
}

static void story_veth(struct call *c, const char *argv0, const char *port, const char *veth, bool is_xdp)
{
	if (is_xdp)
		test_refusals(argv0);
	make_veth(veth);
	start(c, argv0, port);
	if (is_xdp) {
		mock_ok(has_xdp(), "an XDP program is on the interface");
		kill_daemon(&c->dp);
		mock_ok(has_xdp(), "and stays when the daemon is killed");
		mock_ok(ping(AF_INET), "the kernel still has the rest");
		start(c, argv0, port);
	}
	test_media(c);
	test_kernel();
	mock_ok(talk(c, 50), "media as before");
	mock_counters(&c->dp);
	mock_ok(mock_dp_stop(&c->dp) == 0, "SIGTERM ends sluice-dp with status 0");
	if (is_xdp)
		mock_ok(!has_xdp(), "the XDP program is gone");
}

// The daemon makes the tap in its namespace; the other end of the wire is where clients are.
static void story_tap(struct call *c, const char *argv0, const char *spec, bool has_kernel)
{
	start(c, argv0, spec);
	enter(ns_server);
	move_to_client("wire0");
	client_link("wire0");
	run("ip link set wire0 address 02:00:5e:00:53:02");
	test_media(c);
	if (has_kernel) {
		test_kernel();
	} else {
		mock_ok(ping(AF_INET), "ping is answered, so ARP is");
		mock_ok(ping(AF_INET6), "ping over IPv6 is answered, so neighbour discovery is");
	}
	mock_ok(talk(c, 50), "media as before");
	mock_counters(&c->dp);
	mock_ok(mock_dp_stop(&c->dp) == 0, "SIGTERM ends sluice-dp with status 0");
}

int main(int argc, char **argv)
{
	static struct call c;
	const char *kind = argc > 1 ? argv[1] : "";
	bool is_tap = strncmp(kind, "tap", 3) == 0 || strcmp(kind, "alone") == 0;

	if (is_tap && access("/dev/net/tun", R_OK | W_OK) < 0) {
		printf("1..0 # SKIP /dev/net/tun: %s\n", strerror(errno));
		return 0;
	}
	two_workers = argc > 2 && atoi(argv[2]) > 1;
	setvbuf(stdout, NULL, _IOLBF, 0); // before fork
	ns_client = new_namespace();
	ns_server = new_namespace();
	if (strcmp(kind, "af_packet") == 0)
		story_veth(&c, argv[0], "net_af_packet0,iface=va", "", false);
	else if (strcmp(kind, "af_xdp") == 0)
		story_veth(&c, argv[0], "net_af_xdp0,iface=va", "numrxqueues 1 numtxqueues 1", true);
	else if (strcmp(kind, "tap") == 0)
		story_tap(&c, argv[0], "net_tap0,iface=wire0", true);
	else if (strcmp(kind, "tap-plain") == 0)
		story_tap(&c, argv[0], "net_tap0,iface=wire0,offloads=off", true);
	else if (strcmp(kind, "alone") == 0)
		story_tap(&c, argv[0], "net_tap0,iface=wire0,kernel=off", false);
	else
		return EXIT_USAGE;
	return mock_done();
}
