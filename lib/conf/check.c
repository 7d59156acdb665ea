// Values with a syntax of their own: the checks of the schema, and the parsers that programs use later.
#include "lib/conf/schema.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/str.h"
#include "lib/conf/conf.h"

#define MAX_CORE 1023
#define MAX_PAIRS CONF_MAX_LIST
#define NODE_ID_MAX 64

[[gnu::format(printf, 3, 4)]] static bool wrong(char *why, size_t size, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, size, fmt, ap);
	va_end(ap);
	return false;
}

// --- addresses ---------------------------------------------------------------------------------
static bool is_ip(struct str s)
{
	char text[INET6_ADDRSTRLEN];
	uint8_t bytes[16];

	return str_copy(s, text, sizeof(text)) &&
	       (inet_pton(AF_INET, text, bytes) == 1 || inet_pton(AF_INET6, text, bytes) == 1);
}

bool conf_check_ip(const char *text, char *why, size_t size)
{
	// rtcd wraps the text twice
	return is_ip(str_of(text)) ||
	       wrong(why, size, "invalid ICEAddress value: %s is not a valid IP address", text);
}

bool conf_check_ip_prefix(const char *text, char *why, size_t size)
{
	struct str rest = str_of(text), ip = str_cut(&rest, '/');
	uint64_t bits, max = memchr(ip.p, ':', ip.len) ? 128 : 32;

	return (is_ip(ip) && str_u64(rest, max, &bits)) ||
	       wrong(why, size, "%s is not an address with prefix length, like 192.0.2.5/24", text);
}

int conf_host_port(const char *text, char *host, size_t size, uint16_t *port)
{
	const char *colon = strrchr(text, ':');
	struct str name;
	uint64_t n = 0;

	if (colon == NULL || !str_u64(str_of(colon + 1), UINT16_MAX, &n))
		return err_set(EINVAL);
	name = (struct str){text, (size_t)(colon - text)};
	if (name.len > 2 && name.p[0] == '[' && name.p[name.len - 1] == ']') {
		name = (struct str){name.p + 1, name.len - 2};
		if (!is_ip(name))
			return err_set(EINVAL);
	} else if (name.len > 0 && strpbrk(text, ":[]") != colon) {
		return err_set(EINVAL); // IPv6 without brackets
	}
	if (!str_copy(name, host, size))
		return err_set(EINVAL);
	*port = (uint16_t)n;
	return 0;
}

bool conf_check_listen(const char *text, char *why, size_t size)
{
	char host[256];
	uint16_t port;

	if (*text == '\0')
		return wrong(why, size, "should not be empty");
	return conf_host_port(text, host, sizeof(host), &port) == 0 ||
	       wrong(why, size, "%s is not of the form [address]:port", text);
}

static bool is_host(struct str s)
{
	for (size_t i = 0; i < s.len; i++)
		if (!isalnum((unsigned char)s.p[i]) && !strchr(".-_", s.p[i]))
			return false;
	return s.len > 0 && s.len < 254;
}

// --- overrides ---------------------------------------------------------------------------------
bool conf_check_host_override(const char *text, char *why, size_t size)
{
	struct str rest = str_of(text);

	if (*text == '\0')
		return true;
	if (strchr(text, '/') == NULL)
		return is_ip(rest) || is_host(rest) ||
		       wrong(why, size, "%s is not a host name or IP address", text);
	while (rest.len > 0) {
		struct str local = str_trim(str_cut(&rest, ',')), external = str_cut(&local, '/');

		if (!is_ip(external) || !is_ip(local))
			return wrong(why, size, "%s should be pairs external/local of IP addresses", text);
	}
	return true;
}

bool conf_check_port_override(const char *text, char *why, size_t size)
{
	struct str rest = str_of(text), ip[MAX_PAIRS];
	uint64_t port[MAX_PAIRS], n = 0;
	unsigned n_pairs = 0;

	if (*text == '\0')
		return true;
	if (str_u64(rest, UINT64_MAX, &n) && n != 0)
		return (n >= 80 && n <= UINT16_MAX) ||
		       wrong(why, size, "%s is not in allowed range [80, %d]", text, UINT16_MAX);
	for (; rest.len > 0; n_pairs++) {
		struct str pair = str_trim(str_cut(&rest, ',')), local = str_cut(&pair, '/');

		if (pair.len == 0 || memchr(pair.p, '/', pair.len) || !is_ip(local) || n_pairs == MAX_PAIRS)
			return wrong(why, size, "failed to parse mapping: invalid map pairing syntax");
		if (!str_u64(pair, UINT16_MAX, &n) || n == 0)
			return wrong(why, size, "failed to parse mapping: failed to parse port number: %.*s",
				     STR_ARG(pair));
		for (unsigned i = 0; i < n_pairs; i++) {
			if (str_eq(ip[i], local))
				return wrong(why, size,
					     "failed to parse mapping: duplicate mapping found for %.*s",
					     STR_ARG(local));
			if (port[i] == n)
				return wrong(why, size,
					     "failed to parse mapping: duplicate port found for %u",
					     (unsigned)n);
		}
		ip[n_pairs] = local;
		port[n_pairs] = n;
	}
	return true;
}

// --- STUN and TURN URLs (RFC 7064, RFC 7065) -----------------------------------------------------
static bool is_authority(struct str s)
{
	struct str host, port;
	uint64_t n = 0;

	if (s.len > 0 && s.p[0] == '[') {
		if (memchr(s.p, ']', s.len) == NULL)
			return false;
		host = str_cut(&s, ']');
		if (!is_ip(str_skip(host, 1)) || (s.len > 0 && s.p[0] != ':'))
			return false;
		port = str_skip(s, 1);
		return s.len == 0 || (str_u64(port, UINT16_MAX, &n) && n > 0);
	}
	host = s;
	if (s.len > 0 && memchr(s.p, ':', s.len)) {
		host = str_cut(&s, ':');
		if (!str_u64(s, UINT16_MAX, &n) || n == 0)
			return false;
	}
	return is_host(host);
}

bool conf_check_ice_url(const char *text, char *why, size_t size)
{
	static const char *const schemes[] = {"stun:", "stuns:", "turn:", "turns:"};
	struct str s = str_of(text);

	if (*text == '\0')
		return wrong(why, size, "invalid empty URL");
	for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
		struct str rest = str_skip(s, strlen(schemes[i]));

		if (!str_starts(s, str_of(schemes[i])))
			continue;
		if (i >= 2) // TURN only: ?transport=udp
			rest = str_cut(&rest, '?');
		if (is_authority(rest))
			return true;
	}
	return wrong(why, size, "%s is not a valid STUN/TURN server", text);
}

// --- words -------------------------------------------------------------------------------------
static bool one_of(const char *text, const char *a, const char *b, const char *c, char *why, size_t size)
{
	if (strcmp(text, a) == 0 || strcmp(text, b) == 0 || (c && strcmp(text, c) == 0))
		return true;
	return c ? wrong(why, size, "%s is none of %s, %s, %s", text, a, b, c)
		 : wrong(why, size, "%s is neither %s nor %s", text, a, b);
}

bool conf_check_dtls_role(const char *text, char *why, size_t size)
{
	return one_of(text, "passive", "active", NULL, why, size);
}

bool conf_check_idle(const char *text, char *why, size_t size)
{
	return one_of(text, "auto", "poll", "sleep", why, size);
}

bool conf_check_seal(const char *text, char *why, size_t size)
{
	return one_of(text, "ipsec-mb", "libsrtp2", NULL, why, size);
}

bool conf_check_log_level(const char *text, char *why, size_t size)
{
	enum log_level level;

	return log_level_parse(text, &level) || wrong(why, size, "invalid ConsoleLevel value \"%s\"", text);
}

bool conf_check_nack_size(const char *text, char *why, size_t size)
{
	unsigned long n = strtoul(text, NULL, 0);

	if (n == 0)
		return true;
	if (n < 32)
		return wrong(why, size, "should be at least 32");
	if (n > 8192)
		return wrong(why, size, "should not exceed 8192");
	return (n & (n - 1)) == 0 ||
	       wrong(why, size, "must be a power of 2 (32, 64, 128, 256, 512, 1024, 2048, 4096, 8192)");
}

bool conf_check_node_id(const char *text, char *why, size_t size)
{
	return *text == '\0' || (is_host(str_of(text)) && strlen(text) <= NODE_ID_MAX) ||
	       wrong(why, size, "should be at most %d letters, digits, '.', '_' and '-'", NODE_ID_MAX);
}

// --- dataplane ---------------------------------------------------------------------------------
bool conf_check_socket_path(const char *text, char *why, size_t size)
{
	size_t max = sizeof(((struct sockaddr_un *)0)->sun_path) - 1;

	if (*text == '\0')
		return wrong(why, size, "should not be empty");
	return strlen(text) <= max ||
	       wrong(why, size, "is longer than the %zu bytes a Unix socket may have", max);
}

// Devices are checked by DPDK when it opens them; here only that the text is an argument, not an option.
bool conf_check_port_spec(const char *text, char *why, size_t size)
{
	return (isalnum((unsigned char)*text) && strpbrk(text, " \t\n") == NULL) ||
	       wrong(why, size, "\"%s\" is neither sockets nor a DPDK device", text);
}

int conf_cores(const char *text, uint16_t *core, unsigned max)
{
	struct str rest = str_of(text);
	unsigned n = 0;

	while (rest.len > 0) {
		struct str last = str_trim(str_cut(&rest, ',')), first = str_cut(&last, '-');
		bool is_range = first.p && first.p[first.len] == '-';
		uint64_t from, to;

		if (!str_u64(first, MAX_CORE, &from) || (is_range && !str_u64(last, MAX_CORE, &to)))
			return err_set(EINVAL);
		if (!is_range)
			to = from;
		for (uint64_t c = from; c <= to; c++) {
			for (unsigned i = 0; i < n; i++)
				if (core[i] == c)
					return err_set(EINVAL);
			if (n == max)
				return err_set(EINVAL);
			core[n++] = (uint16_t)c;
		}
		if (to < from)
			return err_set(EINVAL);
	}
	return (int)n;
}

bool conf_check_cores(const char *text, char *why, size_t size)
{
	uint16_t core[CONF_MAX_CORES];

	return conf_cores(text, core, CONF_MAX_CORES) >= 0 ||
	       wrong(why, size, "%s is not a list of different cores below %d, like 2-5,7", text,
		     MAX_CORE + 1);
}

// --- store -------------------------------------------------------------------------------------
static bool is_redis_url(struct str s)
{
	const char *at = s.len ? memrchr(s.p, '@', s.len) : NULL;
	struct str authority, path;
	uint64_t n = 0;

	if (at)
		s = str_skip(s, (size_t)(at - s.p) + 1);
	path = s;
	authority = str_cut(&path, '/');
	return is_authority(authority) && (path.len == 0 || str_u64(path, 1023, &n));
}

bool conf_check_store_url(const char *text, char *why, size_t size)
{
	struct str s = str_of(text);

	if (*text == '\0')
		return wrong(why, size, "should not be empty");
	if (str_starts(s, STR("lmdb:")))
		return s.len > strlen("lmdb:") || wrong(why, size, "lmdb: needs a path after it");
	return (str_starts(s, STR("redis://")) && is_redis_url(str_skip(s, strlen("redis://")))) ||
	       wrong(why, size, "should be lmdb:PATH or redis://[:password@]host[:port][/db]");
}
