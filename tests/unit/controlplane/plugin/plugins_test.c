#include <sys/socket.h>
#include <unistd.h>

#include "controlplane/plugin/closes.h"
#include "controlplane/plugin/wsmsg.h"
#include "lib/base/err.h"
#include "tests/support/controlplane/rig.h"
#include "tests/unit/check.h"

static char out[1 << 16];

// A client registered, and its first WebSocket past the hello.
static int open_client(struct rig *r, const char *client)
{
	int fd = rig_ws(r, client, RIG_KEY);
	size_t len = 2 + 58 - 7 + strlen(client);

	CHECK(fd >= 0);
	CHECK_EQ(rig_recv(r, fd, out, sizeof(out), len, NULL, RIG_WAIT, NULL), len);
	return fd;
}

static bool ended(struct rig *r, int fd, ns_t wait)
{
	bool is_ended;

	rig_recv(r, fd, out, sizeof(out), SIZE_MAX, NULL, wait, &is_ended);
	return is_ended;
}

static void hello_first(void)
{
	struct rig r;
	int fd;

	CHECK_OR_RETURN(rig_open(&r));
	CHECK_EQ(rig_register(&r, "clientA", RIG_KEY), 201);
	fd = rig_ws(&r, "clientA", RIG_KEY);
	CHECK_OR_RETURN(fd >= 0);
	CHECK_EQ(rig_recv(&r, fd, out, sizeof(out), 60, NULL, RIG_WAIT, NULL), 60);
	CHECK_MEM(out,
		  "\x82\x3a\xa5hello\x82\xa8"
		  "clientID\xa7"
		  "clientA\xa6"
		  "connID\xba",
		  34);
	CHECK(rig_metric(&r, "rtcd_ws_connections_total{clientID=\"clientA\"} ") == 1);
	close(fd);
	rig_turn(&r, 50 * NS_PER_MS);
	CHECK(rig_metric(&r, "rtcd_ws_connections_total{clientID=\"clientA\"} ") == 0);
	CHECK_EQ(plugins_count(r.plugins), 0);
	rig_close(&r);
}

#define UPGRADE "Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
#define KEY "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define V13 "Sec-WebSocket-Version: 13\r\n"

static void upgrades_are_checked(void)
{
	static const struct {
		const char *headers;
		int status;
	} rows[] = {
		{KEY V13, 400}, // no upgrade asked for
		{"Upgrade: websocket\r\nConnection: close\r\n" KEY V13, 400},
		{"Upgrade: h2c\r\nConnection: Upgrade\r\n" KEY V13, 400},
		{UPGRADE KEY, 400},
		{UPGRADE KEY "Sec-WebSocket-Version: 8\r\n", 400},
		{UPGRADE V13, 400},
		{UPGRADE V13 "Sec-WebSocket-Key: dGhlIHNhbXBsZQ==\r\n", 400},
		{UPGRADE KEY V13 "Origin: http://elsewhere\r\n", 403},
	};
	char headers[1024];
	struct rig r;

	CHECK_OR_RETURN(rig_open(&r));
	CHECK_EQ(rig_register(&r, "a", RIG_KEY), 201);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		snprintf(headers, sizeof(headers), "%s%s", rig_basic("a", RIG_KEY), rows[i].headers);
		CHECK_EQ(rig_get(&r, "/ws", headers, out, sizeof(out)), rows[i].status);
		CHECK(strstr(out, "Sec-Websocket-Version: 13\r\n") != NULL);
	}
	// never opened, so never counted as closed either
	CHECK(rig_metric(&r, "rtcd_ws_connections_total{clientID=\"a\"} ") == -1);
	CHECK_EQ(plugins_count(r.plugins), 0);
	rig_close(&r);
}

static void strangers_get_401(void)
{
	char headers[1024];
	struct rig r;

	CHECK_OR_RETURN(rig_open(&r));
	snprintf(headers, sizeof(headers), "%s" UPGRADE KEY V13, rig_basic("nobody", RIG_KEY));
	CHECK_EQ(rig_get(&r, "/ws", headers, out, sizeof(out)), 401);
	CHECK_EQ(rig_get(&r, "/ws", UPGRADE KEY V13, out, sizeof(out)), 401);
	snprintf(headers, sizeof(headers), "%s" UPGRADE KEY V13, rig_basic("x", RIG_ADMIN));
	CHECK_EQ(rig_get(&r, "/ws", headers, out, sizeof(out)), 403);
	rig_close(&r);
}

static void accept_key_and_headers(void)
{
	char request[1024];
	struct rig r;
	int fd;

	CHECK_OR_RETURN(rig_open(&r));
	CHECK_EQ(rig_register(&r, "a", RIG_KEY), 201);
	fd = rig_connect(&r);
	snprintf(request, sizeof(request),
		 "GET /ws HTTP/1.1\r\nHost: h:1\r\nOrigin: https://H:1\r\n%s" UPGRADE KEY V13 "\r\n",
		 rig_basic("a", RIG_KEY));
	rig_send(&r, fd, request, strlen(request));
	rig_recv(&r, fd, out, sizeof(out), SIZE_MAX, "\r\n\r\n", RIG_WAIT, NULL);
	CHECK(strncmp(out,
		      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
		      "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
		      129) == 0);
	close(fd);
	// data before the answer ends the connection without a word
	fd = rig_connect(&r);
	strcat(request, "\x82\x80");
	rig_send(&r, fd, request, strlen(request));
	CHECK(ended(&r, fd, RIG_WAIT));
	CHECK_STR(out, "");
	close(fd);
	rig_close(&r);
}

static void expect_close(struct rig *r, int fd, unsigned code)
{
	bool is_ended;
	size_t n = rig_recv(r, fd, out, sizeof(out), SIZE_MAX, NULL, RIG_WAIT, &is_ended);

	CHECK(is_ended);
	CHECK(n >= 4);
	CHECK_EQ((uint8_t)out[0], 0x88);
	CHECK_EQ((unsigned)(uint8_t)out[2] << 8 | (uint8_t)out[3], code);
	close(fd);
}

static void frames_in(void)
{
	static char big[60000];
	struct rig r;
	int fd;

	CHECK_OR_RETURN(rig_open(&r));
	CHECK_EQ(rig_register(&r, "a", RIG_KEY), 201);
	fd = open_client(&r, "a");
	rig_frame(&r, fd, 0x81, "ping", 4); // text: ignored
	rig_frame(&r, fd, 0x89, "hey", 3);  // ping: pong of equal payload
	CHECK_EQ(rig_recv(&r, fd, out, sizeof(out), 5, NULL, RIG_WAIT, NULL), 5);
	CHECK_MEM(out, "\x8a\x03hey", 5);
	rig_frame(&r, fd, 0x82, "\xa5leave\x81\xc0\xc0", 9); // nil key (D15): the connection lives on
	rig_frame(&r, fd, 0x82, "\xa3\xff\xfe\xfd\x80", 5);  // a type that is no UTF-8 (D16)
	rig_frame(&r, fd, 0x89, "", 0);
	CHECK_EQ(rig_recv(&r, fd, out, sizeof(out), 2, NULL, RIG_WAIT, NULL), 2);
	CHECK(rig_metric(&r, "rtcd_ws_messages_total{clientID=\"a\",direction=\"in\",type=\"leave\"} ") == 1);
	CHECK(rig_metric(&r, "rtcd_ws_messages_total{clientID=\"a\",direction=\"in\",type=\"unknown\"} ") ==
	      1);
	rig_frame(&r, fd, 0x88, "\x03\xe8", 2);
	expect_close(&r, fd, 1000); // echoed

	fd = open_client(&r, "a");
	rig_send(&r, fd, "\x82\x01x", 3);
	expect_close(&r, fd, 1002); // unmasked
	fd = open_client(&r, "a");
	for (int i = 0; i < 18; i++)
		rig_frame(&r, fd, i ? 0x00 : 0x02, big, sizeof(big)); // 1.08 MB in fragments
	expect_close(&r, fd, 1009);
	rig_close(&r);
}

static void message_of_the_limit_passes(void)
{
	static char big[65535];
	struct rig r;
	int fd;

	CHECK_OR_RETURN(rig_open(&r));
	CHECK_EQ(rig_register(&r, "a", RIG_KEY), 201);
	fd = open_client(&r, "a");
	for (int i = 0; i < 16; i++)
		rig_frame(&r, fd, i ? 0x00 : 0x02, big, sizeof(big));
	rig_frame(&r, fd, 0x80, big, 16); // 1 048 576 in all
	rig_frame(&r, fd, 0x89, "", 0);
	CHECK_EQ(rig_recv(&r, fd, out, sizeof(out), 2, NULL, RIG_WAIT, NULL), 2);
	CHECK_MEM(out, "\x8a\x00", 2);
	close(fd);
	rig_close(&r);
}

// --- routing -------------------------------------------------------------------------------------------
static void expect_message(struct rig *r, int fd, const void *want, size_t len)
{
	CHECK_EQ(rig_recv(r, fd, out, sizeof(out), len, NULL, RIG_WAIT, NULL), len);
	CHECK_MEM(out, want, len);
}
#define CLOSE_S1       \
	"\x82\x14\xa5" \
	"close\x81\xa9sessionID\xa2s1"

static void routes_by_policy(void)
{
	struct rig r;
	int first, second, other;

	CHECK_OR_RETURN(rig_open(&r));
	CHECK_EQ(rig_register(&r, "a", RIG_KEY), 201);
	CHECK_EQ(rig_register(&r, "b", RIG_KEY), 201);
	first = open_client(&r, "a");
	second = open_client(&r, "a");
	other = open_client(&r, "b");
	// no such connection any more: `close` to every connection of the client, and to nobody else
	plugins_send_close(r.plugins, STR("a"), 0x7f000000, STR("s1"));
	expect_message(&r, first, CLOSE_S1, 22);
	expect_message(&r, second, CLOSE_S1, 22);
	// voice: one of them is enough
	plugins_send_rtc(r.plugins, 0, DELIVER_ONE,
			 &(struct rtc_msg){STR("a"), STR("u"), STR("s"), STR("c"), RTC_VOICE_ON, STR_NONE});
	rig_turn(&r, 50 * NS_PER_MS);
	CHECK_EQ(recv(first, out, 100, MSG_DONTWAIT) > 0, recv(second, out, 100, MSG_DONTWAIT) <= 0);
	CHECK_EQ(recv(other, out, 100, MSG_DONTWAIT), -1);
	CHECK(rig_metric(&r, "rtcd_ws_messages_total{clientID=\"a\",direction=\"out\",type=\"vad\"} ") == 1);
	close(first);
	close(second);
	close(other);
	rig_close(&r);
}

static void close_waits_for_the_client(void)
{
	struct rig r;
	int fd;

	CHECK_OR_RETURN(rig_open(&r));
	CHECK_EQ(rig_register(&r, "a", RIG_KEY), 201);
	plugins_send_close(r.plugins, STR("a"), 5, STR("s1"));
	plugins_send_rtc(
		r.plugins, 5, DELIVER_ALL,
		&(struct rtc_msg){STR("a"), STR("u"), STR("s"), STR("c"), RTC_SDP, STR("{}")}); // dropped
	fd = open_client(&r, "a"); // hello comes first
	expect_message(&r, fd, CLOSE_S1, 22);
	rig_turn(&r, 50 * NS_PER_MS);
	CHECK_EQ(recv(fd, out, 100, MSG_DONTWAIT), -1); // once, and nothing else
	close(fd);
	CHECK(rig_metric(&r, "sluice_ws_drops_total{reason=\"no connection\"} ") == 1);
	rig_close(&r);
}

static void waiting_closes_are_bounded(void)
{
	struct rig r;
	char id[16];
	int fd;

	CHECK_OR_RETURN(rig_open(&r));
	CHECK_EQ(rig_register(&r, "a", RIG_KEY), 201);
	for (int i = 0; i < CLOSES_MAX + 10; i++) {
		snprintf(id, sizeof(id), "s%05d", i);
		plugins_send_close(r.plugins, STR("a"), 0, str_of(id));
	}
	fd = open_client(&r, "a");
	rig_recv(&r, fd, out, sizeof(out), CLOSES_MAX * 26, NULL, RIG_WAIT, NULL);
	CHECK_MEM(out + 20, "s00010", 6); // the oldest made room
	CHECK(rig_metric(&r, "sluice_ws_drops_total{reason=\"close queue full\"} ") == 10);
	close(fd);
	rig_close(&r);
}

static void slow_peers_are_cut(void)
{
	static char data[200000];
	struct rig r;
	int slow, fast;
	ns_t from;

	CHECK_OR_RETURN(rig_open(&r));
	CHECK_EQ(rig_register(&r, "slow", RIG_KEY), 201);
	CHECK_EQ(rig_register(&r, "fast", RIG_KEY), 201);
	slow = open_client(&r, "slow");
	fast = open_client(&r, "fast");
	memset(data, 'x', sizeof(data));
	for (int i = 0; i < 100 && plugins_count(r.plugins) == 2; i++) { // 20 MB that nobody reads
		plugins_send_rtc(r.plugins, 0, DELIVER_ALL,
				 &(struct rtc_msg){STR("slow"), STR("u"), STR("s"), STR("c"), RTC_SDP,
						   (struct str){data, sizeof(data)}});
		loop_turn(r.loop, NS_PER_MS);
	}
	rig_turn(&r, 20 * NS_PER_MS);
	CHECK_EQ(plugins_count(r.plugins), 1);
	CHECK(rig_metric(&r, "sluice_ws_drops_total{reason=\"queue full\"} ") == 1);
	from = clock_now();
	plugins_send_close(r.plugins, STR("fast"), 0, STR("s1"));
	expect_message(&r, fast, CLOSE_S1, 22);
	CHECK(clock_now() - from < NS_PER_S);
	close(slow);
	close(fast);
	rig_close(&r);
}

static void unregistered_clients_are_closed(void)
{
	char header[512];
	struct rig r;
	int fd;

	CHECK_OR_RETURN(rig_open(&r));
	CHECK_EQ(rig_register(&r, "a", RIG_KEY), 201);
	fd = open_client(&r, "a");
	snprintf(header, sizeof(header), "%s", rig_basic("a", RIG_KEY));
	CHECK_EQ(rig_post(&r, "/unregister", header, "{\"clientID\":\"a\"}", out, sizeof(out)), 200);
	CHECK_STR(r.gone, "a");
	expect_close(&r, fd, 1008);
	rig_turn(&r, 50 * NS_PER_MS);
	CHECK_EQ(plugins_count(r.plugins), 0);
	rig_close(&r);
}

static void connections_of_a_client_are_bounded(void)
{
	static const struct http_limits many = {.max_conns = 1000,
						.max_body = 16384,
						.read = HTTP_READ_NS,
						.write = HTTP_WRITE_NS,
						.idle = HTTP_IDLE_NS};
	static int fds[PLUGINS_MAX_PER_CLIENT];
	struct rig r;

	CHECK_OR_RETURN(rig_open_limits(&r, NULL, &many, true));
	CHECK_EQ(rig_register(&r, "a", RIG_KEY), 201);
	CHECK_EQ(rig_register(&r, "b", RIG_KEY), 201);
	for (int i = 0; i < PLUGINS_MAX_PER_CLIENT; i++)
		CHECK((fds[i] = rig_ws(&r, "a", RIG_KEY)) >= 0);
	CHECK_EQ(rig_ws(&r, "a", RIG_KEY), -1);
	CHECK(rig_metric(&r, "sluice_ws_drops_total{reason=\"too many connections\"} ") == 1);
	close(open_client(&r, "b")); // others are not affected
	close(fds[0]);
	rig_turn(&r, 50 * NS_PER_MS);
	fds[0] = rig_ws(&r, "a", RIG_KEY);
	CHECK(fds[0] >= 0);
	for (int i = 0; i < PLUGINS_MAX_PER_CLIENT; i++)
		close(fds[i]);
	rig_close(&r);
}

CU_TestInfo plugins_tests[] = {
	{"hello is the first message; connections are counted", hello_first},
	{"D8: refused upgrades are worded as documented and never counted", upgrades_are_checked},
	{"D54, D9: strangers get 401, the admin 403", strangers_get_401},
	{"the 101 has exactly three headers; early data ends it", accept_key_and_headers},
	{"D15, D16: text, pings, nil keys, odd types, close; unmasked 1002, oversized 1009", frames_in},
	{"a message of exactly 1 MiB passes", message_of_the_limit_passes},
	{"D13: messages find another connection of the client", routes_by_policy},
	{"D13: close waits for the client to come back", close_waits_for_the_client},
	{"waiting closes are bounded, the oldest make room", waiting_closes_are_bounded},
	{"D11: a peer that does not read is cut and holds up nobody", slow_peers_are_cut},
	{"D12: unregistering closes the client's connections", unregistered_clients_are_closed},
	{"D58: connections of a client are bounded", connections_of_a_client_are_bounded},
	CU_TEST_INFO_NULL,
};
