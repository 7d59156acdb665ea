#include "controlplane/http/forwarded.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>

#include "lib/base/err.h"
#include "tests/unit/check.h"

static struct http_proxies proxies;

static const char *text_of(const struct http_address *a)
{
	static char text[INET6_ADDRSTRLEN];

	return inet_ntop(AF_INET6, a->ip, text, sizeof(text));
}

static struct http_address address_of(const char *text)
{
	struct http_address a = {};

	CHECK(http_address_parse(str_of(text), &a));
	return a;
}

static void trust(void)
{
	proxies = (struct http_proxies){};
	CHECK_EQ(http_proxies_add(&proxies, STR("10.0.0.0/8")), 0);
	CHECK_EQ(http_proxies_add(&proxies, STR("192.0.2.129/25")), 0);
	CHECK_EQ(http_proxies_add(&proxies, STR("2001:db8:5::/47")), 0);
}

static void half_brackets(void)
{
	struct http_address a;

	CHECK(!http_address_parse(STR("["), &a));
	CHECK(!http_address_parse(STR("[]"), &a));
	CHECK(!http_address_parse(STR("[::1"), &a));
}

static void prefixes(void)
{
	static const struct {
		const char *address;
		bool is_in;
	} cases[] = {{"10.255.0.1", true},     {"11.0.0.1", false},     {"192.0.2.128", true},
		     {"192.0.2.127", false},   {"2001:db8:4::1", true}, {"2001:db8:5:ffff::1", true},
		     {"2001:db8:6::1", false}, {"::10.0.0.1", false},   {"::ffff:10.0.0.1", true}};

	trust();
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		struct http_address a = address_of(cases[i].address);

		CHECK_EQ(http_proxies_has(&proxies, &a), cases[i].is_in);
	}
	CHECK_EQ(http_proxies_add(&proxies, STR("10.0.0.0")), -EINVAL);
	CHECK_EQ(http_proxies_add(&proxies, STR("10.0.0.0/33")), -EINVAL);
	CHECK_EQ(http_proxies_add(&proxies, STR("10.0.0/8")), -EINVAL);
	while (proxies.n < HTTP_MAX_PROXIES)
		CHECK_EQ(http_proxies_add(&proxies, STR("::/0")), 0);
	CHECK_EQ(http_proxies_add(&proxies, STR("::/0")), -ENOSPC);
}

// Two header lines of the same name, the second may be missing.
static const char *from(const char *peer, const char *first, const char *second)
{
	static char raw[8192];
	struct http_address a = address_of(peer);
	struct http_head head;

	snprintf(raw, sizeof(raw), "GET / HTTP/1.1\r\nHost: x\r\nx-forwarded-FOR: %s\r\n%s%s%s\r\n", first,
		 second ? "X-Forwarded-For: " : "", second ? second : "", second ? "\r\n" : "");
	CHECK_EQ(http_parse_head(raw, strlen(raw), &head), 0);
	a = http_forwarded_from(&proxies, &a, &head);
	return text_of(&a);
}

static void rightmost_that_is_not_trusted(void)
{
	trust();
	CHECK_STR(from("10.0.0.1", "198.51.100.7", NULL), "::ffff:198.51.100.7");
	CHECK_STR(from("198.51.100.1", "198.51.100.7", NULL), "::ffff:198.51.100.1"); // no proxy of ours
	CHECK_STR(from("10.0.0.1", "203.0.113.1, 198.51.100.7 ,10.0.0.9", NULL), "::ffff:198.51.100.7");
	CHECK_STR(from("10.0.0.1", "203.0.113.1, 198.51.100.7", "10.0.0.9"), "::ffff:198.51.100.7");
	CHECK_STR(from("10.0.0.1", "203.0.113.1", "2001:db8:1::7"), "2001:db8:1::7");
	CHECK_STR(from("2001:db8:4::1", "[2001:db8:1::7]:4711", NULL), "2001:db8:1::7");
	CHECK_STR(from("10.0.0.1", "198.51.100.7:4711", NULL), "::ffff:198.51.100.7");
	CHECK_STR(from("10.0.0.1", "10.0.0.2", NULL), "::ffff:10.0.0.2"); // the proxy itself asks
}

static void nonsense_is_the_proxys(void)
{
	static const char *const cases[] = {"unknown",
					    "",
					    ",",
					    "198.51.100.7,",
					    "198.51.100.7 x",
					    "[2001:db8:1::7",
					    "[2001:db8:1::7]x",
					    "2001:db8:1::7:1:2:3:4:5:6",
					    "198.51.100.7.1"};
	char hops[4096] = "198.51.100.7";

	trust();
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++)
		CHECK_STR(from("10.0.0.1", cases[i], NULL), "::ffff:10.0.0.1");
	for (unsigned i = 0; i < HTTP_MAX_HOPS; i++)
		strcat(hops, ",10.0.0.2");
	CHECK_STR(from("10.0.0.1", hops, NULL), "::ffff:10.0.0.2"); // no further than that
}

CU_TestInfo forwarded_tests[] = {
	{"brackets without an address are none", half_brackets},
	{"trusted proxies are prefixes", prefixes},
	{"a request is from the rightmost address that is no trusted proxy", rightmost_that_is_not_trusted},
	{"what is no address is the proxy's own", nonsense_is_the_proxys},
	CU_TEST_INFO_NULL,
};
