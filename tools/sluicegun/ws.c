#include "tools/sluicegun/ws.h"

#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>
#include <fcntl.h>

#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/base/rand.h"

#define SETUP_SECONDS 30 // a server that hashes passwords for many of us at once takes its time
#define MAX_OUT (64u * 1024 * 1024)

struct bytes {
	uint8_t *p; // owned
	size_t len, size;
};

struct ws {
	int fd;
	struct bytes in, out;
	struct bytes msg; // fragments of a message so far
	size_t out_at;
};

static int bytes_reserve(struct bytes *b, size_t more)
{
	size_t size = b->size ? b->size : 4096;
	uint8_t *p;

	while (size < b->len + more)
		size *= 2;
	if (size == b->size)
		return 0;
	p = realloc(b->p, size);
	if (p == NULL)
		return -ENOMEM;
	b->p = p;
	b->size = size;
	return 0;
}

static int bytes_add(struct bytes *b, const void *data, size_t len)
{
	if (bytes_reserve(b, len) < 0)
		return -ENOMEM;
	if (len > 0)
		memcpy(b->p + b->len, data, len);
	b->len += len;
	return 0;
}

void base64(char *out, const void *data, size_t n)
{
	static const char digits[] = STR_BASE64_DIGITS;
	const uint8_t *p = data;

	for (; n > 0; p += 3, n = n > 3 ? n - 3 : 0) {
		uint32_t v = (uint32_t)p[0] << 16 | (n > 1 ? (uint32_t)p[1] << 8 : 0) | (n > 2 ? p[2] : 0);

		*out++ = digits[v >> 18];
		*out++ = digits[v >> 12 & 63];
		*out++ = n > 1 ? digits[v >> 6 & 63] : '=';
		*out++ = n > 2 ? digits[v & 63] : '=';
	}
	*out = '\0';
}

int ws_url_split(struct str url, char *host, size_t host_size, char *port, size_t port_size)
{
	const char *colon;
	struct str h;

	if (str_starts(url, STR("http://")))
		url = str_skip(url, 7);
	else if (str_starts(url, STR("ws://")))
		url = str_skip(url, 5);
	else
		return -EINVAL;
	url = str_cut(&url, '/');
	colon = url.len ? memrchr(url.p, ':', url.len) : NULL;
	if (colon && memchr(colon, ']', (size_t)(url.p + url.len - colon)))
		colon = NULL; // [2001:db8::1] without a port
	h = colon ? (struct str){url.p, (size_t)(colon - url.p)} : url;
	if (h.len > 1 && h.p[0] == '[' && h.p[h.len - 1] == ']')
		h = (struct str){h.p + 1, h.len - 2};
	if (h.len == 0 || !str_copy(h, host, host_size))
		return -EINVAL;
	if (!str_copy(colon ? str_skip(url, h.p == url.p ? h.len + 1 : h.len + 3) : STR("80"), port,
		      port_size))
		return -EINVAL;
	return port[0] ? 0 : -EINVAL;
}

static int dial(const char *host, const char *port)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list, *a;
	struct timeval limit = {.tv_sec = SETUP_SECONDS};
	int fd = -1, one = 1;

	if (getaddrinfo(host, port, &hints, &list) != 0)
		return -ENOENT;
	for (a = list; a != NULL; a = a->ai_next) {
		fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (fd < 0)
			continue;
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		if (connect(fd, a->ai_addr, a->ai_addrlen) == 0)
			break;
		close(fd);
		fd = -1;
	}
	freeaddrinfo(list);
	return fd < 0 ? -ECONNREFUSED : fd;
}

static int send_all(int fd, const char *p, size_t len)
{
	while (len > 0) {
		ssize_t n = send(fd, p, len, MSG_NOSIGNAL);

		if (n <= 0)
			return -EPIPE;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

// Read until the empty line after the header; what follows it stays in *b. returns: status code or -EPROTO
static int read_status(int fd, struct bytes *b)
{
	char *end;
	int status;

	for (;;) {
		ssize_t n;

		if (b->len > 16384 || bytes_reserve(b, 2048) < 0)
			return -EPROTO;
		n = recv(fd, b->p + b->len, 2047, 0);
		if (n <= 0)
			return -EPROTO;
		b->len += (size_t)n;
		b->p[b->len] = '\0';
		end = memmem(b->p, b->len, "\r\n\r\n", 4);
		if (end)
			break;
	}
	if (sscanf((char *)b->p, "HTTP/1.1 %d", &status) != 1)
		return -EPROTO;
	end += 4;
	b->len -= (size_t)(end - (char *)b->p);
	memmove(b->p, end, b->len);
	return status;
}

int http_post(const char *host, const char *port, const char *path, const char *body)
{
	char head[512];
	struct bytes b = {};
	int fd = dial(host, port), rc, n;

	if (fd < 0)
		return fd;
	n = snprintf(head, sizeof(head),
		     "POST %s HTTP/1.1\r\nHost: %s:%s\r\nContent-Type: application/json\r\n"
		     "Content-Length: %zu\r\nConnection: close\r\n\r\n",
		     path, host, port, strlen(body));
	rc = n < (int)sizeof(head) ? send_all(fd, head, (size_t)n) : -EINVAL;
	if (rc == 0)
		rc = send_all(fd, body, strlen(body));
	if (rc == 0)
		rc = read_status(fd, &b);
	free(b.p);
	close(fd);
	return rc;
}

static int upgrade(struct ws *w, const char *host, const char *port, const char *path, const char *basic,
		   const char *protocol)
{
	char head[2048], key[25], auth[700] = "", code[600];
	uint8_t nonce[16];
	int n;

	rand_bytes(nonce, sizeof(nonce));
	base64(key, nonce, sizeof(nonce));
	if (basic && strlen(basic) < 400) {
		base64(code, basic, strlen(basic));
		snprintf(auth, sizeof(auth), "Authorization: Basic %s\r\n", code);
	}
	n = snprintf(head, sizeof(head),
		     "GET %s HTTP/1.1\r\nHost: %s:%s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
		     "Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n%s%s%s%s\r\n",
		     path, host, port, key, auth, protocol ? "Sec-WebSocket-Protocol: " : "",
		     protocol ? protocol : "", protocol ? "\r\n" : "");
	if (n >= (int)sizeof(head))
		return -EINVAL;
	if (send_all(w->fd, head, (size_t)n) < 0)
		return -EPIPE;
	n = read_status(w->fd, &w->in);
	return n == 101 ? 0 : -EPROTO;
}

struct ws *ws_open(const char *host, const char *port, const char *path, const char *basic,
		   const char *protocol)
{
	struct ws *w = calloc(1, sizeof(*w));
	int rc;

	if (w == NULL)
		return NULL;
	w->fd = dial(host, port);
	rc = w->fd < 0 ? w->fd : upgrade(w, host, port, path, basic, protocol);
	if (rc < 0) {
		ws_close(w);
		return err_null(-rc);
	}
	fcntl(w->fd, F_SETFL, fcntl(w->fd, F_GETFL) | O_NONBLOCK);
	return w;
}

void ws_close(struct ws *w)
{
	if (w == NULL)
		return;
	if (w->fd >= 0)
		close(w->fd);
	free(w->in.p);
	free(w->out.p);
	free(w->msg.p);
	free(w);
}

int ws_fd(const struct ws *w)
{
	return w->fd;
}

int ws_flush(struct ws *w)
{
	while (w->out_at < w->out.len) {
		ssize_t n = send(w->fd, w->out.p + w->out_at, w->out.len - w->out_at, MSG_NOSIGNAL);

		if (n < 0)
			return errno == EAGAIN || errno == EINTR ? 0 : -EPIPE;
		w->out_at += (size_t)n;
	}
	w->out.len = w->out_at = 0;
	return 0;
}

static int send_frame(struct ws *w, unsigned opcode, const uint8_t *data, size_t len)
{
	uint8_t head[14];
	struct wbuf b = wbuf_of(head, sizeof(head));
	uint32_t mask = rand_u32();
	uint8_t key[4], *p;

	if (w->out.len > MAX_OUT)
		return -ENOMEM;
	wbuf_u8(&b, (uint8_t)(0x80 | opcode));
	if (len < 126) {
		wbuf_u8(&b, (uint8_t)(0x80 | len));
	} else if (len < 65536) {
		wbuf_u8(&b, 0x80 | 126);
		wbuf_u16(&b, (uint16_t)len);
	} else {
		wbuf_u8(&b, 0x80 | 127);
		wbuf_u64(&b, len);
	}
	be32_put(key, mask);
	wbuf_bytes(&b, key, 4);
	if (bytes_add(&w->out, head, wbuf_len(&b)) < 0 || bytes_add(&w->out, data, len) < 0)
		return -ENOMEM;
	p = w->out.p + w->out.len - len;
	for (size_t i = 0; i < len; i++)
		p[i] ^= key[i % 4];
	return ws_flush(w);
}

int ws_send(struct ws *w, enum ws_kind kind, const void *data, size_t len)
{
	return send_frame(w, kind, data, len);
}

struct frame {
	unsigned opcode;
	bool is_last;
	uint8_t *data;
	size_t len, size; // of the payload, of all
};

// The first frame of what has come. returns: 0; -EAGAIN incomplete; -EPROTO
static int next_frame(uint8_t *p, size_t n, struct frame *f)
{
	struct rbuf r = rbuf_of(p, n);
	unsigned first = rbuf_u8(&r), second = rbuf_u8(&r);
	uint64_t len = second & 127;

	if (len == 126)
		len = rbuf_u16(&r);
	else if (len == 127)
		len = rbuf_u64(&r);
	if (r.bad)
		return -EAGAIN;
	if ((first & 0x70) || (second & 0x80) || len > WS_MAX_MSG)
		return -EPROTO;
	if (rbuf_left(&r) < len)
		return -EAGAIN;
	*f = (struct frame){.opcode = first & 15,
			    .is_last = (first & 0x80) != 0,
			    .data = p + (r.p - p),
			    .len = len,
			    .size = (size_t)(r.p - p) + len};
	return 0;
}

static int on_frame(struct ws *w, const struct frame *f, void (*on_message)(void *, uint8_t *, size_t),
		    void *arg)
{
	switch (f->opcode) {
	case 8:
		return -EPIPE;
	case 9:
		return send_frame(w, 10, f->data, f->len);
	case 10:
		return 0;
	case 0:
	case WS_TEXT:
	case WS_BINARY:
		break;
	default:
		return -EPROTO;
	}
	if (f->is_last && f->opcode != 0) {
		on_message(arg, f->data, f->len);
		return 0;
	}
	if (w->msg.len + f->len > WS_MAX_MSG || bytes_add(&w->msg, f->data, f->len) < 0)
		return -EPROTO;
	if (f->is_last) {
		on_message(arg, w->msg.p, w->msg.len);
		w->msg.len = 0;
	}
	return 0;
}

// Hand out all whole frames. A message may call ws_send, which leaves w->in alone.
static int take_frames(struct ws *w, void (*on_message)(void *, uint8_t *, size_t), void *arg)
{
	size_t at = 0;
	struct frame f;
	int rc;

	while ((rc = next_frame(w->in.p + at, w->in.len - at, &f)) == 0) {
		at += f.size;
		rc = on_frame(w, &f, on_message, arg);
		if (rc < 0)
			return rc;
	}
	w->in.len -= at;
	if (at > 0)
		memmove(w->in.p, w->in.p + at, w->in.len);
	return rc == -EAGAIN ? 0 : rc;
}

int ws_read(struct ws *w, void (*on_message)(void *, uint8_t *, size_t), void *arg)
{
	for (;;) {
		ssize_t n;
		int rc;

		if (w->in.len > 0 && (rc = take_frames(w, on_message, arg)) < 0)
			return rc;
		if (bytes_reserve(&w->in, 65536) < 0)
			return -EPROTO;
		n = recv(w->fd, w->in.p + w->in.len, w->in.size - w->in.len, 0);
		if (n == 0)
			return -EPIPE;
		if (n < 0)
			return errno == EAGAIN || errno == EINTR ? 0 : -EPIPE;
		w->in.len += (size_t)n;
	}
}
