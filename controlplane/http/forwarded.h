// Who asks, where proxies ask for others (X-Forwarded-For). Pure code.
//
// The header is believed as far as those are trusted who wrote it: from the right, over addresses of trusted proxies, to
// the first one that is none. What stands left of it may be anybody's invention.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "controlplane/http/httpmsg.h"
#include "lib/base/str.h"

#define HTTP_MAX_PROXIES 16 // prefixes
#define HTTP_MAX_HOPS 32    // addresses that are read of one request

struct http_address {
	uint8_t ip[16]; // IPv4: mapped
};

struct http_proxies {
	struct {
		struct http_address net;
		uint8_t bits; // of the mapped form
	} prefix[HTTP_MAX_PROXIES];
	unsigned n;
};

// An address, with or without port ("192.0.2.1", "192.0.2.1:80", "2001:db8::1", "[2001:db8::1]:80").
[[nodiscard]] bool http_address_parse(struct str, struct http_address *);

// Trust a prefix, "10.0.0.0/8". 0, -EINVAL, -ENOSPC.
[[nodiscard]] int http_proxies_add(struct http_proxies *, struct str prefix);
bool http_proxies_has(const struct http_proxies *, const struct http_address *);

// Whom the request that peer has sent is from.
struct http_address http_forwarded_from(const struct http_proxies *, const struct http_address *peer,
					const struct http_head *);
