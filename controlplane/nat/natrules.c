#include "controlplane/nat/natrules.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "lib/base/err.h"
#include "lib/rtc/wire/stun.h"

// Addresses of the best rank that occurs are used, the others are not; so loopback, container bridges and
// link-local addresses are announced only when there is nothing else (D47).
enum rank { RANK_GLOBAL, RANK_BRIDGE, RANK_LINK_LOCAL, RANK_LOOPBACK, RANK_NEVER };

static int family_of(const char *addr)
{
	uint8_t ip[16];

	if (inet_pton(AF_INET, addr, ip) == 1)
		return AF_INET;
	return inet_pton(AF_INET6, addr, ip) == 1 ? AF_INET6 : 0;
}

static bool is_loopback(const char *addr)
{
	return strncmp(addr, "127.", 4) == 0 || strcmp(addr, "::1") == 0;
}

static bool is_any(const char *addr)
{
	return strcmp(addr, "0.0.0.0") == 0 || strcmp(addr, "::") == 0;
}

static bool is_bridge(const char *interface)
{
	static const char *const prefixes[] = {"docker", "br-",     "veth", "virbr",  "lxc", "lxd",
					       "cni",    "flannel", "cali", "podman", "kube"};

	for (unsigned i = 0; i < ARRAY_LEN(prefixes); i++)
		if (strncmp(interface, prefixes[i], strlen(prefixes[i])) == 0)
			return true;
	return false;
}

static enum rank rank_of(const struct nat_rules *r, const char *interface, const char *addr)
{
	int family = family_of(addr);
	struct in6_addr in6;

	if (family == 0 || (family == AF_INET6 && !r->has_ipv6))
		return RANK_NEVER;
	if (is_loopback(addr))
		return RANK_LOOPBACK;
	if (family == AF_INET6) { // link-local needs a zone, multicast is none of ours
		inet_pton(AF_INET6, addr, &in6);
		if (IN6_IS_ADDR_LINKLOCAL(&in6) || IN6_IS_ADDR_MULTICAST(&in6) ||
		    IN6_IS_ADDR_UNSPECIFIED(&in6))
			return RANK_NEVER;
	}
	if (strncmp(addr, "169.254.", 8) == 0)
		return RANK_LINK_LOCAL;
	return is_bridge(interface) ? RANK_BRIDGE : RANK_GLOBAL;
}

static bool add_text(char list[][INET6_ADDRSTRLEN], unsigned *n, unsigned max, struct str text)
{
	if (*n == max || !str_copy(text, list[*n], INET6_ADDRSTRLEN) || family_of(list[*n]) == 0)
		return false;
	(*n)++;
	return true;
}

// --- configuration ----------------------------------------------------------------------------------
static void read_pairs(struct nat_rules *r, struct str text)
{
	while (text.len > 0 && r->n_pairs < NAT_MAX_LOCAL) {
		struct str local = str_trim(str_cut(&text, ',')), external = str_cut(&local, '/');
		struct nat_pair *p = &r->pairs[r->n_pairs];

		if (str_copy(str_trim(external), p->external, sizeof(p->external)) &&
		    str_copy(str_trim(local), p->local, sizeof(p->local)) && family_of(p->external) &&
		    family_of(p->local))
			r->n_pairs++;
	}
}

static void read_ports(struct nat_rules *r, struct str text)
{
	while (text.len > 0 && r->n_ports < NAT_MAX_LOCAL) {
		struct str port = str_trim(str_cut(&text, ',')), local = STR_NONE;
		uint64_t number;

		if (port.len > 0 && memchr(port.p, '/', port.len))
			local = str_cut(&port, '/');
		if (!str_copy(str_trim(local), r->ports[r->n_ports].local, INET6_ADDRSTRLEN) ||
		    !str_u64(str_trim(port), UINT16_MAX, &number) || number == 0)
			continue;
		r->ports[r->n_ports++].port = (uint16_t)number;
	}
}

void natrules_init(struct nat_rules *r, uint16_t port, const char *host_override, const char *port_override,
		   bool has_ipv6)
{
	struct str host = str_trim(str_of(host_override));

	*r = (struct nat_rules){.port = port, .has_ipv6 = has_ipv6, .has_override = host.len > 0};
	if (host.len > 0 && memchr(host.p, '/', host.len))
		read_pairs(r, host);
	else if (host.len > 0 && !add_text(r->external, &r->n_external, NAT_MAX_LOCAL, host))
		str_copy(host, r->override_name, sizeof(r->override_name));
	read_ports(r, str_of(port_override));
}

void natrules_listed(struct nat_rules *r, const char *addr)
{
	for (unsigned i = 0; i < r->n_listed; i++)
		if (strcmp(r->listed[i], addr) == 0)
			return;
	if (!is_any(addr))
		add_text(r->listed, &r->n_listed, NAT_MAX_LOCAL, str_of(addr));
}

// --- locals -------------------------------------------------------------------------------------------
void natrules_clear_locals(struct nat_rules *r)
{
	r->n_found = 0;
}

void natrules_interface(struct nat_rules *r, const char *interface, const char *addr)
{
	enum rank rank = rank_of(r, interface, addr);

	if (rank == RANK_NEVER || r->n_found == NAT_MAX_FOUND)
		return;
	r->found[r->n_found].rank = rank;
	if (str_copy(str_of(addr), r->found[r->n_found].addr, INET6_ADDRSTRLEN))
		r->n_found++;
}

static void add_local(struct nat_rules *r, const struct nat_rules *old, const char *addr)
{
	struct nat_local *l = &r->local[r->n_local];

	if (r->n_local == NAT_MAX_LOCAL)
		return;
	*l = (struct nat_local){};
	str_copy(str_of(addr), l->addr, sizeof(l->addr));
	for (unsigned i = 0; i < old->n_local; i++) // what STUN said of it before still holds
		if (strcmp(old->local[i].addr, addr) == 0)
			*l = old->local[i];
	r->n_local++;
}

void natrules_choose(struct nat_rules *r)
{
	struct nat_rules old = *r;
	unsigned best = RANK_NEVER;

	r->n_local = 0;
	for (unsigned i = 0; i < r->n_listed; i++) // explicit: also loopback, also floating addresses
		add_local(r, &old, r->listed[i]);
	if (r->n_listed > 0)
		return;
	for (unsigned i = 0; i < r->n_found; i++)
		if (r->found[i].rank < best)
			best = r->found[i].rank;
	for (unsigned i = 0; i < r->n_found; i++)
		if (r->found[i].rank == best)
			add_local(r, &old, r->found[i].addr);
}

const char *natrules_name(const struct nat_rules *r)
{
	return r->override_name[0] ? r->override_name : NULL;
}

bool natrules_has_override(const struct nat_rules *r)
{
	return r->has_override;
}

void natrules_set_external(struct nat_rules *r, char addrs[][INET6_ADDRSTRLEN], unsigned n)
{
	r->n_external = 0;
	for (unsigned i = 0; i < n; i++)
		add_text(r->external, &r->n_external, NAT_MAX_LOCAL, str_of(addrs[i]));
}

void natrules_set_stun(struct nat_rules *r, unsigned local, const char *addr)
{
	if (local < r->n_local)
		str_copy(str_of(addr), r->local[local].stun, sizeof(r->local[local].stun));
}

// --- candidates -----------------------------------------------------------------------------------------
struct writer {
	const struct nat_rules *rules;
	struct nat_candidate *out;
	unsigned n;
	uint16_t port_override;                // 0: none
	bool is_overridden[NAT_MAX_ADDRESSES]; // the port of out[i] is it
};

static uint16_t port_override(const struct nat_rules *r)
{
	for (unsigned i = 0; i < r->n_local; i++)
		for (unsigned k = 0; k < r->n_ports; k++)
			if (r->ports[k].local[0] == '\0' || strcmp(r->ports[k].local, r->local[i].addr) == 0)
				return r->ports[k].port;
	return 0;
}

static void set_foundation(struct nat_candidate *c, const char *transport)
{
	char text[80];
	int len = snprintf(text, sizeof(text), "host%s%s%c", c->addr, transport,
			   family_of(c->addr) == AF_INET6 ? '6' : '4');

	snprintf(c->foundation, sizeof(c->foundation), "%u", stun_crc32((const uint8_t *)text, (size_t)len));
}

static void announce(struct writer *w, const char *addr, const char *base, bool is_external)
{
	struct nat_candidate *c = &w->out[w->n];

	for (unsigned i = 0; i < w->n; i++)
		if (strcmp(w->out[i].addr, addr) == 0)
			return;
	if (w->n == NAT_MAX_ADDRESSES)
		return;
	w->is_overridden[w->n] = is_external && w->port_override;
	*c = (struct nat_candidate){.port = w->is_overridden[w->n] ? w->port_override : w->rules->port};
	str_copy(str_of(addr), c->addr, sizeof(c->addr));
	str_copy(str_of(base), c->base, sizeof(c->base));
	c->priority = 126u << 24 | (65535u - w->n) << 8 | 255u;
	set_foundation(c, "udp");
	w->n++;
}

// Each address once more for TCP, below every one for UDP (RFC 6544 4.2: type 99, passive 4 << 13 | 8191).
static unsigned announce_tcp(const struct writer *w)
{
	for (unsigned i = 0; i < w->n; i++) {
		struct nat_candidate *c = &w->out[w->n + i];

		*c = w->out[i];
		c->is_tcp = true;
		if (!w->is_overridden[i])
			c->port = w->rules->tcp_port;
		c->priority = 99u << 24 | (40959u - i) << 8 | 255u;
		set_foundation(c, "tcp");
	}
	return 2 * w->n;
}

static void announce_pairs(struct writer *w, const char *local)
{
	const struct nat_rules *r = w->rules;
	bool has_own = false;

	for (unsigned i = 0; i < r->n_pairs; i++)
		if (strcmp(r->pairs[i].local, local) == 0) {
			has_own = true;
			announce(w, r->pairs[i].external, local, strcmp(r->pairs[i].external, local) != 0);
		}
	for (unsigned i = 0; !has_own && i < r->n_pairs; i++)
		announce(w, r->pairs[i].external, local, strcmp(r->pairs[i].external, local) != 0);
}

// A literal or resolved override stands for every local address of its family; loopback stays itself unless
// it is all there is.
static void announce_override(struct writer *w, const char *local)
{
	const struct nat_rules *r = w->rules;
	bool has_family = false;

	if (is_loopback(local) && r->n_local > 1) {
		announce(w, local, local, false);
		return;
	}
	for (unsigned i = 0; i < r->n_external; i++)
		if (family_of(r->external[i]) == family_of(local)) {
			has_family = true;
			announce(w, r->external[i], local, true);
		}
	if (!has_family && r->n_external > 0)
		announce(w, local, local, false);
}

void natrules_set_tcp_port(struct nat_rules *r, uint16_t port)
{
	r->tcp_port = port;
}

unsigned natrules_candidates(const struct nat_rules *r, struct nat_candidate out[NAT_MAX_CANDIDATES])
{
	struct writer w = {.rules = r, .out = out, .port_override = port_override(r)};

	for (unsigned i = 0; i < r->n_local; i++) {
		const struct nat_local *l = &r->local[i];

		if (r->n_pairs > 0)
			announce_pairs(&w, l->addr);
		else if (r->has_override)
			announce_override(&w, l->addr);
		else if (l->stun[0])
			announce(&w, l->stun, l->addr, true);
		else
			announce(&w, l->addr, l->addr, false);
	}
	return r->tcp_port ? announce_tcp(&w) : w.n;
}

bool natrules_stun_url(const char *url, char *host, size_t size, uint16_t *port)
{
	struct str rest = str_of(url), name;
	uint64_t number = 3478;

	if (!str_starts(rest, STR("stun:")))
		return false;
	rest = str_skip(rest, 5);
	if (rest.len > 0 && rest.p[0] == '[') {
		rest = str_skip(rest, 1);
		name = str_cut(&rest, ']');
		str_cut(&rest, ':');
	} else {
		name = str_cut(&rest, ':');
	}
	if (rest.len > 0 && (!str_u64(rest, UINT16_MAX, &number) || number == 0))
		return false;
	*port = (uint16_t)number;
	return name.len > 0 && str_copy(name, host, size);
}
