#include "tools/sluicegun/ws.c"

#include "tests/unit/check.h"

static struct {
	unsigned n;
	size_t len;
	uint8_t first, last;
} seen;

static void on_message(void *arg, uint8_t *data, size_t len)
{
	seen.n++;
	seen.len = len;
	seen.first = len ? data[0] : 0;
	seen.last = len ? data[len - 1] : 0;
}

// A client whose other end is fd[1].
static struct ws *pair(int fd[2])
{
	struct ws *w = calloc(1, sizeof(*w));

	if (w == NULL || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd) < 0)
		return NULL;
	w->fd = fd[0];
	seen.n = 0;
	return w;
}

static void feed(struct ws *w, int fd, const void *data, size_t len)
{
	CHECK_EQ(write(fd, data, len), (ssize_t)len);
	CHECK_EQ(ws_read(w, on_message, NULL), 0);
}

static void test_url(void)
{
	char host[64], port[8];

	CHECK_EQ(ws_url_split(STR("http://example.org:8045/"), host, sizeof(host), port, sizeof(port)), 0);
	CHECK_STR(host, "example.org");
	CHECK_STR(port, "8045");
	CHECK_EQ(ws_url_split(STR("http://[2001:db8::1]:99"), host, sizeof(host), port, sizeof(port)), 0);
	CHECK_STR(host, "2001:db8::1");
	CHECK_STR(port, "99");
	CHECK_EQ(ws_url_split(STR("ws://h"), host, sizeof(host), port, sizeof(port)), 0);
	CHECK_STR(port, "80");
	CHECK_EQ(ws_url_split(STR("https://h:1"), host, sizeof(host), port, sizeof(port)), -EINVAL);
	CHECK_EQ(ws_url_split(STR("http://:1"), host, sizeof(host), port, sizeof(port)), -EINVAL);
	CHECK_EQ(ws_url_split(STR("http://h:"), host, sizeof(host), port, sizeof(port)), -EINVAL);
	CHECK_EQ(ws_url_split(STR("http://h:123456789"), host, sizeof(host), port, sizeof(port)), -EINVAL);
}

static void test_base64(void)
{
	char out[16];

	base64(out, "a", 1);
	CHECK_STR(out, "YQ==");
	base64(out, "id", 2);
	CHECK_STR(out, "aWQ=");
	base64(out, "\xff\xfe\xfd", 3);
	CHECK_STR(out, "//79");
}

static void test_pieces(void)
{
	static const uint8_t frame[] = {0x82, 3, 'a', 'b', 'c', 0x82, 1, 'x'};
	int fd[2];
	struct ws *w = pair(fd);

	CHECK_OR_RETURN(w != NULL);
	for (unsigned i = 0; i < 4; i++)
		feed(w, fd[1], frame + i, 1);
	CHECK_EQ(seen.n, 0);
	feed(w, fd[1], frame + 4, sizeof(frame) - 4);
	CHECK_EQ(seen.n, 2);
	CHECK_EQ(seen.first, 'x');
	ws_close(w);
	close(fd[1]);
}

static void test_fragments(void)
{
	static const uint8_t frames[] = {0x02, 1, 'a', 0x89, 1, 'p', 0x80, 1, 'z'};
	uint8_t pong[16];
	int fd[2];
	struct ws *w = pair(fd);

	CHECK_OR_RETURN(w != NULL);
	feed(w, fd[1], frames, sizeof(frames));
	CHECK_EQ(seen.n, 1);
	CHECK_EQ(seen.len, 2);
	CHECK_EQ(seen.first, 'a');
	CHECK_EQ(seen.last, 'z');
	CHECK_EQ(read(fd[1], pong, sizeof(pong)), 7); // masked
	CHECK_EQ(pong[0], 0x8a);
	CHECK_EQ(pong[1], 0x81);
	CHECK_EQ(pong[6] ^ pong[2], 'p');
	ws_close(w);
	close(fd[1]);
}

static void test_bad(void)
{
	static const uint8_t bad[][10] = {
		{0x82, 0x81},                                         // masked by a server
		{0xc2, 1, 'a'},                                       // reserved bit
		{0x83, 1, 'a'},                                       // unknown opcode
		{0x82, 127, 0, 0, 0, 1, 0, 0, 0, 0},                  // 4 GiB
		{0x82, 127, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 255}, // 2^64
	};

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		int fd[2];
		struct ws *w = pair(fd);

		CHECK_OR_RETURN(w != NULL);
		CHECK_EQ(write(fd[1], bad[i], sizeof(bad[i])), (ssize_t)sizeof(bad[i]));
		CHECK_EQ(ws_read(w, on_message, NULL), -EPROTO);
		ws_close(w);
		close(fd[1]);
	}
}

static void test_close(void)
{
	static const uint8_t bye[] = {0x88, 0};
	int fd[2];
	struct ws *w = pair(fd);

	CHECK_OR_RETURN(w != NULL);
	CHECK_EQ(write(fd[1], bye, sizeof(bye)), (ssize_t)sizeof(bye));
	CHECK_EQ(ws_read(w, on_message, NULL), -EPIPE);
	ws_close(w);
	close(fd[1]);
}

CU_TestInfo ws_tests[] = {
	{"addresses of servers are split", test_url},
	{"base64", test_base64},
	{"frames may come in any pieces", test_pieces},
	{"fragments are joined, a ping between them is answered", test_fragments},
	{"frames that no server may send end the connection", test_bad},
	{"a close frame ends the connection", test_close},
	CU_TEST_INFO_NULL,
};
