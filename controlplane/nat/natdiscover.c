// Three sources make the list: our own addresses, what the configuration maps them to (names are looked up
// off the loop and again every NAT_TTL_NS), and what a STUN server sees. The list is made anew from them on
// every question; they change rarely and are few.
#include "controlplane/nat/natdiscover.h"

#include <assert.h>
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "controlplane/nat/natrules.h"
#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/rand.h"
#include "lib/rtc/wire/stun.h"

enum { STUN_TRIES = 4 };
#define STUN_WAIT_NS (500 * NS_PER_MS) // doubled each time

// One name look-up. Outlives its nat when that ends meanwhile.
struct nat_lookup {
	struct work work;
	struct nat *nat; // NULL: ended
	bool is_stun;
	int family;
	char host[256];
	char found[NAT_MAX_LOCAL][INET6_ADDRSTRLEN];
	unsigned n;
};

struct nat_probe { // one local address asks the STUN server
	struct nat *nat;
	unsigned local; // index
	int fd;
	struct loop_fd *watch;
	struct timer timer;
	unsigned n_tries;
	uint8_t txid[STUN_TXID_LEN];
};

struct nat {
	struct loop *loop;       // borrowed
	const struct conf *conf; // borrowed
	struct nat_rules rules;
	struct nat_lookup *override_lookup, *stun_lookup; // under way
	char stun_host[256];
	uint16_t stun_port;
	struct sockaddr_storage stun_addr;
	struct nat_probe probes[NAT_MAX_LOCAL];
	struct timer refresh;
};

// --- our own addresses -------------------------------------------------------------------------------
static void read_interfaces(struct nat *n)
{
	struct ifaddrs *list, *i;

	if (getifaddrs(&list) < 0) {
		log_warn("addresses: interfaces cannot be read: %s", strerror(errno));
		return;
	}
	for (i = list; i != NULL; i = i->ifa_next) {
		char text[INET6_ADDRSTRLEN];
		const void *ip;

		if (i->ifa_addr == NULL || !(i->ifa_flags & IFF_UP))
			continue;
		if (i->ifa_addr->sa_family == AF_INET)
			ip = &((struct sockaddr_in *)(void *)i->ifa_addr)->sin_addr;
		else if (i->ifa_addr->sa_family == AF_INET6)
			ip = &((struct sockaddr_in6 *)(void *)i->ifa_addr)->sin6_addr;
		else
			continue;
		if (inet_ntop(i->ifa_addr->sa_family, ip, text, sizeof(text)))
			natrules_interface(&n->rules, i->ifa_name, text);
	}
	freeifaddrs(list);
}

static void read_locals(struct nat *n)
{
	const struct conf *c = n->conf;
	bool has_ethdev = c->dataplane.ports.n > 0 && strcmp(c->dataplane.ports.item[0], "sockets") != 0;

	natrules_clear_locals(&n->rules);
	for (unsigned i = 0; has_ethdev && i < c->dataplane.addresses.n; i++) {
		struct str rest = str_of(c->dataplane.addresses.item[i]); // "192.0.2.5/24"
		char text[INET6_ADDRSTRLEN];

		if (str_copy(str_cut(&rest, '/'), text, sizeof(text)))
			natrules_interface(&n->rules, "", text);
	}
	if (n->rules.n_found == 0)
		read_interfaces(n);
	natrules_choose(&n->rules);
}

// --- names --------------------------------------------------------------------------------------------
static void lookup_run(struct work *w)
{
	struct nat_lookup *l = container_of(w, struct nat_lookup, work);
	struct addrinfo hints = {.ai_family = l->family, .ai_socktype = SOCK_DGRAM}, *list, *i;

	if (getaddrinfo(l->host, NULL, &hints, &list) != 0)
		return;
	for (i = list; i != NULL && l->n < NAT_MAX_LOCAL; i = i->ai_next)
		if (getnameinfo(i->ai_addr, i->ai_addrlen, l->found[l->n], sizeof(l->found[0]), NULL, 0,
				NI_NUMERICHOST) == 0)
			l->n++;
	freeaddrinfo(list);
}

static void probes_start(struct nat *n, const char *server);

static void on_looked_up(struct work *w)
{
	struct nat_lookup *l = container_of(w, struct nat_lookup, work);
	struct nat *n = l->nat;

	if (n == NULL) {
		free(l);
		return;
	}
	assert(l == (l->is_stun ? n->stun_lookup : n->override_lookup));
	if (l->is_stun)
		n->stun_lookup = NULL;
	else
		n->override_lookup = NULL;
	if (l->n == 0)
		log_warn("addresses: %s does not resolve; %s", l->host,
			 n->rules.n_external > 0 ? "the last answer is used" : "trying again");
	else if (l->is_stun)
		probes_start(n, l->found[0]);
	else
		natrules_set_external(&n->rules, l->found, l->n);
	if (l->n == 0)
		loop_arm_in(n->loop, &n->refresh, 5 * NS_PER_S);
	free(l);
}

static void lookup_start(struct nat *n, const char *host, bool is_stun, int family)
{
	struct nat_lookup **slot = is_stun ? &n->stun_lookup : &n->override_lookup, *l;

	if (*slot != NULL)
		return;
	l = calloc(1, sizeof(*l));
	if (l == NULL)
		return;
	*l = (struct nat_lookup){
		.work = {lookup_run, on_looked_up, NULL}, .nat = n, .is_stun = is_stun, .family = family};
	if (!str_copy(str_of(host), l->host, sizeof(l->host)) || loop_work(n->loop, &l->work) < 0)
		free(l);
	else
		*slot = l;
}

// --- STUN ---------------------------------------------------------------------------------------------
static void probe_end(struct nat_probe *p)
{
	loop_cancel(p->nat->loop, &p->timer);
	loop_unwatch(p->watch);
	p->watch = NULL;
	if (p->fd >= 0)
		close(p->fd);
	p->fd = -1;
}

static void probe_send(struct nat_probe *p)
{
	uint8_t msg[STUN_HDR_LEN];
	struct wbuf w = wbuf_of(msg, sizeof(msg));

	assert(p->fd >= 0 && p->n_tries < STUN_TRIES);
	wbuf_u16(&w, 0x0001); // binding request, no attributes
	wbuf_u16(&w, 0);
	wbuf_u32(&w, STUN_COOKIE);
	wbuf_bytes(&w, p->txid, sizeof(p->txid));
	(void)!send(p->fd, msg, sizeof(msg), MSG_DONTWAIT | MSG_NOSIGNAL);
	loop_arm_in(p->nat->loop, &p->timer, STUN_WAIT_NS << p->n_tries++);
}

static void on_probe_timer(struct timer *t, ns_t)
{
	struct nat_probe *p = container_of(t, struct nat_probe, timer);

	if (p->n_tries < STUN_TRIES) {
		probe_send(p);
		return;
	}
	log_warn("addresses: no STUN answer for %s", p->nat->rules.local[p->local].addr);
	probe_end(p);
}

static void on_probe_read(void *arg, unsigned events)
{
	struct nat_probe *p = arg;
	struct stun_msg m;
	uint8_t buf[1500];
	char text[INET6_ADDRSTRLEN];
	ssize_t len = recv(p->fd, buf, sizeof(buf), MSG_DONTWAIT);

	if (len <= 0 || stun_parse(buf, (size_t)len, &m) < 0 || m.cls != STUN_SUCCESS ||
	    memcmp(stun_txid(&m), p->txid, STUN_TXID_LEN) != 0 || m.mapped.family == 0)
		return;
	if (inet_ntop(m.mapped.family == 4 ? AF_INET : AF_INET6, m.mapped.ip, text, sizeof(text)) == NULL)
		return;
	log_notice("addresses: %s is %s outside", p->nat->rules.local[p->local].addr, text);
	natrules_set_stun(&p->nat->rules, p->local, text);
	probe_end(p);
}

static int probe_open(struct nat *n, unsigned local)
{
	struct sockaddr_in from = {.sin_family = AF_INET};
	int fd;

	if (n->stun_addr.ss_family != AF_INET ||
	    inet_pton(AF_INET, n->rules.local[local].addr, &from.sin_addr) != 1)
		return -1;
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	if (bind(fd, (struct sockaddr *)&from, sizeof(from)) < 0 ||
	    connect(fd, (struct sockaddr *)&n->stun_addr, sizeof(struct sockaddr_in)) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static void probes_start(struct nat *n, const char *server)
{
	struct sockaddr_in *to = (void *)&n->stun_addr;

	n->stun_addr = (struct sockaddr_storage){};
	if (inet_pton(AF_INET, server, &to->sin_addr) != 1)
		return;
	to->sin_family = AF_INET;
	to->sin_port = htons(n->stun_port);
	for (unsigned i = 0; i < n->rules.n_local; i++) {
		struct nat_probe *p = &n->probes[i];

		if (p->fd >= 0)
			probe_end(p);
		p->local = i;
		p->n_tries = 0;
		rand_bytes(p->txid, sizeof(p->txid));
		p->fd = probe_open(n, i);
		if (p->fd < 0)
			continue;
		p->watch = loop_watch(n->loop, p->fd, LOOP_READ, on_probe_read, p);
		if (p->watch == NULL)
			probe_end(p);
		else
			probe_send(p);
	}
}

// First stun: URL of the configuration. False when there is none.
static bool find_stun(struct nat *n)
{
	for (unsigned i = 0; i < n->conf->rtc.ice_servers.n; i++)
		if (natrules_stun_url(n->conf->rtc.ice_servers.item[i], n->stun_host, sizeof(n->stun_host),
				      &n->stun_port))
			return true;
	return false;
}

// --- life ---------------------------------------------------------------------------------------------
static void nat_refresh(struct nat *n)
{
	const char *name = natrules_name(&n->rules);

	read_locals(n);
	if (name != NULL)
		lookup_start(n, name, false, n->conf->rtc.enable_ipv6 ? AF_UNSPEC : AF_INET);
	else if (!natrules_has_override(&n->rules) && find_stun(n))
		lookup_start(n, n->stun_host, true, AF_INET);
	loop_arm_in(n->loop, &n->refresh, NAT_TTL_NS);
}

static void on_refresh(struct timer *t, ns_t)
{
	nat_refresh(container_of(t, struct nat, refresh));
}

struct nat *nat_new(struct loop *loop, const struct conf *conf)
{
	struct nat *n = calloc(1, sizeof(*n));

	if (n == NULL)
		return NULL;
	n->loop = loop;
	n->conf = conf;
	n->refresh.on_due = on_refresh;
	for (unsigned i = 0; i < NAT_MAX_LOCAL; i++)
		n->probes[i] = (struct nat_probe){.nat = n, .fd = -1, .timer = {.on_due = on_probe_timer}};
	natrules_init(&n->rules, conf->rtc.port_udp, conf->rtc.host_override, conf->rtc.host_port_override,
		      conf->rtc.enable_ipv6);
	for (unsigned i = 0; i < conf->rtc.address_udp.n; i++)
		natrules_listed(&n->rules, conf->rtc.address_udp.item[i]);
	for (unsigned i = 0; i < conf->rtc.address_tcp.n; i++)
		natrules_listed(&n->rules, conf->rtc.address_tcp.item[i]);
	nat_refresh(n);
	return n;
}

void nat_free(struct nat *n)
{
	if (n == NULL)
		return;
	loop_cancel(n->loop, &n->refresh);
	for (unsigned i = 0; i < NAT_MAX_LOCAL; i++)
		probe_end(&n->probes[i]);
	if (n->override_lookup)
		n->override_lookup->nat = NULL;
	if (n->stun_lookup)
		n->stun_lookup->nat = NULL;
	free(n);
}

void nat_set_tcp_port(struct nat *n, uint16_t port)
{
	natrules_set_tcp_port(&n->rules, port);
}

unsigned nat_candidates(struct nat *n, struct nat_candidate out[NAT_MAX_CANDIDATES])
{
	return natrules_candidates(&n->rules, out);
}
