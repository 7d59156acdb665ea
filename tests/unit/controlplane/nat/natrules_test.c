#include <stdbool.h>

#include "controlplane/nat/natrules.h"
#include "tests/unit/check.h"

static struct nat_candidate out[NAT_MAX_CANDIDATES];

// Candidates as "addr:port addr:port ...".
static const char *show(const struct nat_rules *r)
{
	static char text[4096];
	unsigned n = natrules_candidates(r, out);

	text[0] = '\0';
	for (unsigned i = 0; i < n; i++)
		sprintf(text + strlen(text), "%s%s:%u", i ? " " : "", out[i].addr, out[i].port);
	return text;
}

static struct nat_rules make(const char *override, const char *ports, bool v6)
{
	struct nat_rules r;

	natrules_init(&r, 8443, override, ports, v6);
	return r;
}

static void host(struct nat_rules *r)
{
	natrules_interface(r, "lo", "127.0.0.1");
	natrules_interface(r, "lo", "::1");
	natrules_interface(r, "eth0", "192.168.1.10");
	natrules_interface(r, "eth0", "fe80::1");
	natrules_interface(r, "eth0", "2001:db8::10");
	natrules_interface(r, "docker0", "172.17.0.1");
	natrules_interface(r, "br-12ab", "172.18.0.1");
	natrules_interface(r, "eth1", "169.254.7.7");
	natrules_choose(r);
}

static void plain(void)
{
	struct nat_rules r = make("", "", false);

	host(&r);
	CHECK_STR(show(&r), "192.168.1.10:8443");
	CHECK_EQ(out[0].priority, 2130706431);
	CHECK_STR(out[0].foundation, "2631669666");
	r = make("", "", true);
	host(&r);
	CHECK_STR(show(&r), "192.168.1.10:8443 2001:db8::10:8443");
	CHECK_EQ(out[1].priority, 2130706431 - 256);
}

// Foundation and priority as rtcd has them; TCP follows the port rules of UDP and stands below all of it.
static void tcp(void)
{
	struct nat_rules r = make("", "", true);

	host(&r);
	natrules_set_tcp_port(&r, 8444);
	CHECK_STR(show(&r), "192.168.1.10:8443 2001:db8::10:8443 192.168.1.10:8444 2001:db8::10:8444");
	CHECK(!out[1].is_tcp && out[2].is_tcp && out[3].is_tcp);
	CHECK_EQ(out[2].priority, 1671430143);
	CHECK_STR(out[2].foundation, "556754498");
	CHECK_EQ(out[3].priority, 1671430143 - 256);
	r = make("203.0.113.5", "30443", false);
	host(&r);
	natrules_set_tcp_port(&r, 8443);
	CHECK_STR(show(&r), "203.0.113.5:30443 203.0.113.5:30443");
	CHECK(out[1].is_tcp);
}

static void loopback(void)
{
	struct nat_rules r = make("", "", false);

	natrules_interface(&r, "lo", "127.0.0.1");
	natrules_interface(&r, "docker0", "172.17.0.1");
	natrules_choose(&r);
	CHECK_STR(show(&r), "172.17.0.1:8443"); // a bridge is better than loopback
	natrules_clear_locals(&r);
	natrules_interface(&r, "lo", "127.0.0.1");
	natrules_choose(&r);
	CHECK_STR(show(&r), "127.0.0.1:8443");
	r = make("", "", false);
	natrules_listed(&r, "127.0.0.1");
	natrules_listed(&r, "10.0.0.9"); // on no interface: a floating address
	natrules_listed(&r, "127.0.0.1");
	host(&r);
	CHECK_STR(show(&r), "127.0.0.1:8443 10.0.0.9:8443");
	r = make("", "", false);
	natrules_listed(&r, "0.0.0.0");
	host(&r);
	CHECK_STR(show(&r), "192.168.1.10:8443");
}

static void literal_override(void)
{
	struct nat_rules r = make("203.0.113.5", "", false);

	natrules_interface(&r, "eth0", "10.0.0.1");
	natrules_interface(&r, "eth1", "10.0.0.2");
	natrules_choose(&r);
	CHECK_STR(show(&r), "203.0.113.5:8443"); // one, though two stand behind it (D51)
	CHECK_STR(out[0].base, "10.0.0.1");
	r = make("203.0.113.5", "30443", true);
	host(&r);
	CHECK_STR(show(&r),
		  "203.0.113.5:30443 2001:db8::10:8443"); // the other family stays, without the port
}

static void named_override(void)
{
	static char found[2][INET6_ADDRSTRLEN] = {"203.0.113.7", "2001:db8::7"};
	struct nat_rules r = make("rtc.example.com", "30443", false);

	host(&r);
	CHECK_STR(natrules_name(&r), "rtc.example.com");
	CHECK_STR(show(&r), ""); // until it is resolved
	natrules_set_external(&r, found, 2);
	CHECK_STR(show(&r), "203.0.113.7:30443"); // the port counts for names too
	natrules_clear_locals(&r);
	host(&r);
	CHECK_STR(show(&r), "203.0.113.7:30443"); // kept over a refresh
}

static void pairs(void)
{
	struct nat_rules r =
		make("203.0.113.1/10.0.0.1, 203.0.113.2/10.0.0.2", "10.0.0.2/4000,10.0.0.9/5000", false);

	natrules_interface(&r, "eth0", "10.0.0.1");
	natrules_interface(&r, "eth1", "10.0.0.2");
	natrules_choose(&r);
	CHECK_STR(show(&r), "203.0.113.1:4000 203.0.113.2:4000");
	r = make("203.0.113.1/10.0.0.1,10.0.0.3/10.0.0.3", "4000", false);
	natrules_interface(&r, "eth0", "10.0.0.3"); // maps to itself: no port override
	natrules_choose(&r);
	CHECK_STR(show(&r), "10.0.0.3:8443");
	r = make("203.0.113.1/10.0.0.1", "", false);
	natrules_interface(&r, "eth0", "10.9.9.9"); // without a pair: all externals
	natrules_choose(&r);
	CHECK_STR(show(&r), "203.0.113.1:8443");
	r = make("junk/,/,x/y", "a,0,/,70000", false);
	host(&r);
	CHECK_EQ(r.n_pairs, 0);
	CHECK_EQ(r.n_ports, 0);
}

static void stun(void)
{
	struct nat_rules r = make("", "30443", false);

	natrules_interface(&r, "eth0", "10.0.0.1");
	natrules_interface(&r, "eth1", "10.0.0.2");
	natrules_choose(&r);
	natrules_set_stun(&r, 0, "198.51.100.1");
	CHECK_STR(show(&r), "198.51.100.1:30443 10.0.0.2:8443");
	natrules_clear_locals(&r);
	natrules_interface(&r, "eth1", "10.0.0.2");
	natrules_interface(&r, "eth0", "10.0.0.1");
	natrules_choose(&r); // what STUN said belongs to the address, not to its place
	CHECK_STR(show(&r), "10.0.0.2:8443 198.51.100.1:30443");
}

static void bounded(void)
{
	struct nat_rules r = make("", "", false);
	char addr[32];

	for (int i = 0; i < 200; i++) {
		sprintf(addr, "10.0.%d.1", i);
		natrules_interface(&r, "eth0", addr);
	}
	natrules_choose(&r);
	CHECK_EQ(natrules_candidates(&r, out), NAT_MAX_ADDRESSES);
	natrules_set_tcp_port(&r, 8443);
	CHECK_EQ(natrules_candidates(&r, out), NAT_MAX_CANDIDATES);
}

static void urls(void)
{
	char host_name[64];
	uint16_t port;

	CHECK(natrules_stun_url("stun:stun.example.com", host_name, sizeof(host_name), &port));
	CHECK_EQ(port, 3478);
	CHECK_STR(host_name, "stun.example.com");
	CHECK(natrules_stun_url("stun:[2001:db8::1]:5000", host_name, sizeof(host_name), &port));
	CHECK_EQ(port, 5000);
	CHECK_STR(host_name, "2001:db8::1");
	CHECK(natrules_stun_url("stun:h:19302", host_name, sizeof(host_name), &port));
	CHECK_EQ(port, 19302);
	CHECK(!natrules_stun_url("turn:h", host_name, sizeof(host_name), &port));
	CHECK(!natrules_stun_url("stun:", host_name, sizeof(host_name), &port));
	CHECK(!natrules_stun_url("stun:h:x", host_name, sizeof(host_name), &port));
}

CU_TestInfo natrules_tests[] = {
	{"interface addresses, priority and foundation", plain},
	{"the same addresses for ICE-TCP, below all of UDP", tcp},
	{"D47: loopback and bridges only when sole or listed", loopback},
	{"a literal override stands for all of its family", literal_override},
	{"D48: a host name matches the port override, too", named_override},
	{"external/local pairs", pairs},
	{"addresses that STUN found", stun},
	{"the list is bounded", bounded},
	{"D48: STUN URLs without port and with IPv6", urls},
	CU_TEST_INFO_NULL,
};
