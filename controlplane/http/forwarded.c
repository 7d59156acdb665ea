#include "controlplane/http/forwarded.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

static bool ip_parse(struct str s, struct http_address *out, bool *is_v4)
{
	char text[INET6_ADDRSTRLEN];

	if (!str_copy(s, text, sizeof(text)) || strlen(text) != s.len)
		return false;
	memcpy(out->ip, mapped, sizeof(mapped));
	*is_v4 = inet_pton(AF_INET, text, out->ip + 12) == 1;
	return *is_v4 || inet_pton(AF_INET6, text, out->ip) == 1;
}

bool http_address_parse(struct str s, struct http_address *out)
{
	struct str rest = s, host;
	bool is_v4;

	if (s.len > 0 && s.p[0] == '[') {
		rest = str_skip(s, 1);
		if (rest.len == 0 || memchr(rest.p, ']', rest.len) == NULL)
			return false;
		host = str_cut(&rest, ']');
		return ip_parse(host, out, &is_v4) && (rest.len == 0 || rest.p[0] == ':');
	}
	if (ip_parse(s, out, &is_v4))
		return true;
	host = str_cut(&rest, ':');
	return ip_parse(host, out, &is_v4) && is_v4;
}

int http_proxies_add(struct http_proxies *p, struct str text)
{
	struct str rest = text, host = str_cut(&rest, '/');
	struct http_address net;
	uint64_t bits;
	bool is_v4;

	if (!ip_parse(host, &net, &is_v4) || !str_u64(rest, is_v4 ? 32 : 128, &bits))
		return -EINVAL;
	if (p->n == HTTP_MAX_PROXIES)
		return -ENOSPC;
	p->prefix[p->n].net = net;
	p->prefix[p->n++].bits = (uint8_t)(is_v4 ? 96 + bits : bits);
	return 0;
}

static bool is_in_net(const struct http_address *a, const struct http_address *net, unsigned bits)
{
	unsigned bytes = bits / 8, mask = 0xff00 >> (bits % 8) & 0xff;

	return memcmp(a->ip, net->ip, bytes) == 0 &&
	       (mask == 0 || ((a->ip[bytes] ^ net->ip[bytes]) & mask) == 0);
}

bool http_proxies_has(const struct http_proxies *p, const struct http_address *a)
{
	for (unsigned i = 0; i < p->n; i++)
		if (is_in_net(a, &p->prefix[i].net, p->prefix[i].bits))
			return true;
	return false;
}

// Cut *rest at its last comma: returns what is right of it.
static struct str cut_last(struct str *rest)
{
	const char *comma = memrchr(rest->p, ',', rest->len);
	struct str last = *rest;

	if (comma == NULL) {
		*rest = STR_NONE;
		return str_trim(last);
	}
	rest->len = (size_t)(comma - rest->p);
	return str_trim(str_skip(last, rest->len + 1));
}

struct http_address http_forwarded_from(const struct http_proxies *p, const struct http_address *peer,
					const struct http_head *head)
{
	struct http_address from = *peer, next;
	unsigned n_hops = 0;

	for (unsigned i = head->n_headers; i-- > 0;) {
		struct str rest = head->headers[i].value;

		if (!str_ieq(head->headers[i].name, STR("x-forwarded-for")))
			continue;
		while (rest.len > 0) {
			if (!http_proxies_has(p, &from) || n_hops++ == HTTP_MAX_HOPS ||
			    !http_address_parse(cut_last(&rest), &next))
				return from;
			from = next;
		}
	}
	return from;
}
