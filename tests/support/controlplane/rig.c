#include "tests/support/controlplane/rig.h"

#include <arpa/inet.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/err.h"
#include "tests/unit/check.h"

void rig_on_gone(void *arg, struct str client)
{
	struct rig *r = arg;

	str_copy(client, r->gone, sizeof(r->gone));
	plugins_drop_client(r->plugins, client);
}

void rig_turn(struct rig *r, ns_t how_long)
{
	ns_t until = clock_now() + how_long;

	do
		loop_turn(r->loop, 2 * NS_PER_MS);
	while (clock_now() < until);
}

bool rig_open_limits(struct rig *r, const char *url, const struct http_limits *limits, bool self_registration)
{
	static const struct http_limits normal = {.max_conns = 64,
						  .max_body = 16384,
						  .read = HTTP_READ_NS,
						  .write = HTTP_WRITE_NS,
						  .idle = HTTP_IDLE_NS};
	struct conf_error error;
	char why[256], lmdb[96];

	*r = (struct rig){};
	snprintf(r->dir, sizeof(r->dir), "/tmp/sluice-rig-XXXXXX");
	if (mkdtemp(r->dir) == NULL || conf_load(&r->conf, NULL, &error) < 0)
		return false;
	r->conf.api.allow_self_registration = self_registration;
	r->conf.api.enable_admin = true;
	free(r->conf.api.admin_secret_key);
	r->conf.api.admin_secret_key = strdup(RIG_ADMIN);
	snprintf(lmdb, sizeof(lmdb), "lmdb:%s/db", r->dir);
	r->loop = loop_new();
	r->metrics = metrics_new();
	r->store = store_open(r->loop, url ? url : lmdb, why, sizeof(why));
	r->sysload = sysload_new(r->loop);
	r->plugins = plugins_new(r->loop, r->metrics);
	r->auth = auth_new(r->loop, &r->conf, r->store, r->metrics, rig_on_gone, r);
	r->api = api_new();
	r->http = http_new(r->loop, limits ? limits : &normal, NULL, r->metrics, api_on_request, r->api);
	if (!r->store || !r->auth || !r->http)
		return false;
	plugins_bind(r->plugins, r->http, NULL, NULL);
	api_bind(r->api, &(struct api_parts){.conf = &r->conf,
					     .http = r->http,
					     .auth = r->auth,
					     .plugins = r->plugins,
					     .metrics = r->metrics,
					     .sysload = r->sysload});
	return http_listen(r->http, "127.0.0.1:0", why, sizeof(why)) == 0;
}

bool rig_open(struct rig *r)
{
	return rig_open_limits(r, NULL, NULL, true);
}

void rig_close(struct rig *r)
{
	char cmd[96];

	http_free(r->http);
	auth_free(r->auth);
	api_free(r->api);
	plugins_free(r->plugins);
	sysload_free(r->sysload);
	store_close(r->store);
	metrics_free(r->metrics);
	loop_free(r->loop);
	conf_fini(&r->conf);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", r->dir);
	CHECK_EQ(system(cmd), 0);
}

int rig_connect_port(uint16_t port)
{
	struct sockaddr_in to = {
		.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	return connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0 ? fd : -1;
}

int rig_connect(struct rig *r)
{
	return rig_connect_port(http_port(r->http));
}

bool rig_send(struct rig *r, int fd, const void *p, size_t len)
{
	ns_t until = clock_now() + RIG_WAIT;

	while (len > 0 && clock_now() < until) {
		ssize_t n = send(fd, p, len, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n > 0) {
			p = (const char *)p + n;
			len -= (size_t)n;
		} else if (n < 0 && errno != EAGAIN) {
			return false;
		}
		loop_turn(r->loop, NS_PER_MS);
	}
	return len == 0;
}

size_t rig_recv(struct rig *r, int fd, char *out, size_t size, size_t want, const char *text, ns_t wait,
		bool *ended)
{
	ns_t until = clock_now() + wait;
	size_t len = 0;

	if (ended)
		*ended = false;
	out[0] = '\0';
	while (len + 1 < size && len < want && !(text && memmem(out, len, text, strlen(text))) &&
	       clock_now() < until) {
		ssize_t n = recv(fd, out + len, size - 1 - len < want - len ? size - 1 - len : want - len,
				 MSG_DONTWAIT);

		if (n > 0) {
			len += (size_t)n;
			out[len] = '\0';
		} else if (n == 0 || errno != EAGAIN) {
			if (ended)
				*ended = true;
			break;
		}
		loop_turn(r->loop, NS_PER_MS);
	}
	return len;
}

int rig_ask(struct rig *r, const char *request, char *out, size_t size)
{
	int fd = rig_connect(r), status = 0;

	rig_send(r, fd, request, strlen(request));
	rig_recv(r, fd, out, size, SIZE_MAX, NULL, RIG_WAIT, NULL);
	close(fd);
	return sscanf(out, "HTTP/1.1 %d", &status) == 1 ? status : 0;
}

int rig_post(struct rig *r, const char *path, const char *headers, const char *body, char *out, size_t size)
{
	char request[4096];

	snprintf(request, sizeof(request),
		 "POST %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%sContent-Length: %zu\r\n\r\n%s", path,
		 headers, strlen(body), body);
	return rig_ask(r, request, out, size);
}

int rig_get(struct rig *r, const char *path, const char *headers, char *out, size_t size)
{
	char request[4096];

	snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%s\r\n", path,
		 headers);
	return rig_ask(r, request, out, size);
}

int rig_register(struct rig *r, const char *client, const char *key)
{
	char body[512], out[2048];

	snprintf(body, sizeof(body), "{\"clientID\":\"%s\",\"authKey\":\"%s\"}", client, key);
	return rig_post(r, "/register", "", body, out, sizeof(out));
}

const char *rig_basic(const char *user, const char *key)
{
	static char out[512];
	char plain[256], code[4 * sizeof(plain) / 3 + 4];
	int n = snprintf(plain, sizeof(plain), "%s:%s", user, key);

	EVP_EncodeBlock((uint8_t *)code, (const uint8_t *)plain, n);
	snprintf(out, sizeof(out), "Authorization: Basic %s\r\n", code);
	return out;
}

int rig_ws(struct rig *r, const char *client, const char *key)
{
	char request[1024], out[1024];
	int fd = rig_connect(r);

	snprintf(request, sizeof(request),
		 "GET /ws HTTP/1.1\r\nHost: x\r\n%sUpgrade: websocket\r\nConnection: Upgrade\r\n"
		 "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
		 rig_basic(client, key));
	rig_send(r, fd, request, strlen(request));
	// The 101 has 129 bytes; what follows is for the caller.
	rig_recv(r, fd, out, sizeof(out), 129, NULL, RIG_WAIT, NULL);
	if (strncmp(out, "HTTP/1.1 101 ", 13) == 0)
		return fd;
	close(fd);
	return -1;
}

bool rig_frame(struct rig *r, int fd, uint8_t first, const void *payload, size_t len)
{
	uint8_t *buf = malloc(len + 8);
	size_t n = 0;
	bool ok;

	buf[n++] = first;
	if (len < 126) {
		buf[n++] = (uint8_t)(0x80 | len);
	} else {
		buf[n++] = 0x80 | 126;
		buf[n++] = (uint8_t)(len >> 8);
		buf[n++] = (uint8_t)len;
	}
	memcpy(buf + n, "\1\2\3\4", 4);
	n += 4;
	for (size_t i = 0; i < len; i++)
		buf[n + i] = ((const uint8_t *)payload)[i] ^ "\1\2\3\4"[i & 3];
	ok = rig_send(r, fd, buf, n + len);
	free(buf);
	return ok;
}

double rig_metric(struct rig *r, const char *line)
{
	size_t len;
	char *text = metrics_text(r->metrics, &len), *at = text ? strstr(text, line) : NULL;
	double value = at ? strtod(at + strlen(line), NULL) : -1;

	free(text);
	return value;
}
