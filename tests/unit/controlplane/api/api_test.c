#include <stdlib.h>
#include <unistd.h>

#include "lib/base/err.h"
#include "tests/support/controlplane/rig.h"
#include "tests/unit/check.h"

static char out[65536];

static void check_has(const char *text)
{
	bool ok = strstr(out, text) != NULL;

	CHECK(ok);
	if (!ok)
		printf("# no %s in: %s\n", text, out);
}

static const char *body_of(const char *answer)
{
	const char *at = strstr(answer, "\r\n\r\n");

	return at ? at + 4 : "";
}

static void version_and_system(void)
{
	struct rig r;

	CHECK_OR_RETURN(rig_open(&r));
	CHECK_EQ(rig_get(&r, "/version", "", out, sizeof(out)), 200);
	check_has("Content-Type: application/json\r\n");
	CHECK(strncmp(body_of(out), "{\"buildDate\":\"\",\"buildVersion\":\"v1.2.6+sluice.", 46) == 0);
	check_has("\"goOS\":\"linux\"");
	CHECK_EQ(rig_get(&r, "/system", "", out, sizeof(out)), 200);
	CHECK(strncmp(body_of(out), "{\"cpu_load\":", 12) == 0);
	CHECK(strtod(body_of(out) + 12, NULL) > 0); // D33: measured before the first request
	rig_close(&r);
}

static void not_found(void)
{
	static const char *const requests[] = {
		"PUT /version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
		"OPTIONS /system HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
		"GET /register HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
		"GET /version/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
		"GET /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
		"GET /calls/a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
		"GET /debug/pprof/heap HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", // D6
		"POST /ws HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
	};
	struct rig r;

	CHECK_OR_RETURN(rig_open(&r));
	for (size_t i = 0; i < ARRAY_LEN(requests); i++) {
		CHECK_EQ(rig_ask(&r, requests[i], out, sizeof(out)), 404);
		check_has("Content-Type: text/plain; charset=utf-8\r\n");
		check_has("X-Content-Type-Options: nosniff\r\n");
		CHECK_STR(body_of(out), "404 page not found\n");
	}
	CHECK_EQ(rig_ask(&r, "HEAD /version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", out,
			 sizeof(out)),
		 404);
	CHECK_STR(body_of(out), "");
	rig_close(&r);
}

static void redirects(void)
{
	struct rig r;

	CHECK_OR_RETURN(rig_open(&r));
	CHECK_EQ(rig_get(&r, "//version?x=1", "", out, sizeof(out)), 301);
	check_has("Location: /version?x=1\r\n");
	CHECK_EQ(rig_get(&r, "/a/../system", "", out, sizeof(out)), 301);
	check_has("Location: /system\r\n");
	rig_close(&r);
}

static void registers(void)
{
	struct rig r;

	CHECK_OR_RETURN(rig_open(&r));
	CHECK_EQ(rig_post(&r, "/register", "",
			  "{\"clientID\":\"a<b>&\",\"authKey\":\"" RIG_KEY "\",\"extra\":\"x\"} trailing",
			  out, sizeof(out)),
		 201);
	check_has("Content-Type: application/json\r\n");
	CHECK_STR(body_of(out), "{\"clientID\":\"a\\u003cb\\u003e\\u0026\",\"code\":\"201\"}\n");
	CHECK_EQ(rig_register(&r, "a", RIG_KEY), 201);
	CHECK_EQ(rig_post(&r, "/register", "", "{\"clientID\":\"a\",\"authKey\":\"" RIG_KEY "x\"}", out,
			  sizeof(out)),
		 400);
	CHECK_STR(body_of(out), "{\"code\":\"400\",\"error\":\"registration failed: already registered\"}\n");
	CHECK_EQ(rig_get(&r, "/calls/c/sessions", rig_basic("a", RIG_KEY), out, sizeof(out)),
		 503); // the old key holds
	rig_close(&r);
}

static void refuses_registrations(void)
{
	static const char key72[] =
		"012345678901234567890123456789012345678901234567890123456789012345678901";
	static const struct {
		const char *body, *want;
	} rows[] = {
		{"", "EOF"},
		{"{\"clientID\":", "unexpected EOF"},
		{"[]", "json: cannot unmarshal array into Go value of type map[string]string"},
		{"{\"clientID\":1}", "json: cannot unmarshal number into Go value of type string"},
		{"null", "registration failed: key not long enough"},
		{"{\"clientID\":\"b\",\"authKey\":\"short\"}", "registration failed: key not long enough"},
		{"{\"authKey\":\"" RIG_KEY "\"}", "registration failed: error: empty key"},
		{"{\"clientID\":null,\"authKey\":\"" RIG_KEY "\"}", "registration failed: error: empty key"},
		{"{\"clientid\":\"b\",\"authKey\":\"" RIG_KEY "\"}", "registration failed: error: empty key"},
		{"{\"clientID\":\"0123456789012345678901234567890123456789012345678901234567890123x\","
		 "\"authKey\":\"" RIG_KEY "\"}",
		 "registration failed: failed to set key: error: key too large"},
	};
	char want[256], body[256];
	struct rig r;

	CHECK_OR_RETURN(rig_open(&r));
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CHECK_EQ(rig_post(&r, "/register", "", rows[i].body, out, sizeof(out)), 400);
		snprintf(want, sizeof(want), "{\"code\":\"400\",\"error\":\"%s\"}\n", rows[i].want);
		CHECK_STR(body_of(out), want);
	}
	CHECK_EQ(rig_register(&r, "b", key72), 201);
	snprintf(body, sizeof(body), "{\"clientID\":\"c\",\"authKey\":\"%sx\"}", key72);
	CHECK_EQ(rig_post(&r, "/register", "", body, out, sizeof(out)), 400);
	check_has("registration failed: bcrypt: password length exceeds 72 bytes");
	rig_close(&r);
}

static void only_admin_registers(void)
{
	char header[512];
	struct rig r;

	CHECK_OR_RETURN(rig_open_limits(&r, NULL, NULL, false));
	snprintf(header, sizeof(header), "%s", rig_basic("whoever", RIG_ADMIN));
	CHECK_EQ(rig_post(&r, "/register", "", "{}", out, sizeof(out)), 401);
	check_has("{\"code\":\"401\",\"error\":\"authentication failed: invalid auth header\"}\n");
	CHECK_EQ(rig_post(&r, "/register", header, "{\"clientID\":\"a\",\"authKey\":\"" RIG_KEY "\"}", out,
			  sizeof(out)),
		 201);
	snprintf(header, sizeof(header), "%s", rig_basic("a", RIG_KEY));
	CHECK_EQ(rig_post(&r, "/register", header, "{\"clientID\":\"b\",\"authKey\":\"" RIG_KEY "\"}", out,
			  sizeof(out)),
		 403);
	snprintf(header, sizeof(header), "%s", rig_basic("", "x"));
	CHECK_EQ(rig_post(&r, "/register", header, "{}", out, sizeof(out)), 401);
	check_has("{\"code\":\"401\",\"error\":\"authentication failed: unauthorized\"}\n");
	rig_close(&r);
}

static void bodies_are_bounded(void)
{
	static const char chunked[] =
		"POST /login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n9000\r\n";
	static char big[40000];
	struct rig r;
	int fd;

	CHECK_OR_RETURN(rig_open(&r));
	// declared: refused before a byte of it is read
	CHECK_EQ(rig_ask(&r, "POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: 16385\r\n\r\n", out,
			 sizeof(out)),
		 413);
	check_has("Connection: close\r\n");
	// chunked: refused when it has grown too large; the answer arrives although more is being sent
	memset(big, 'x', sizeof(big));
	fd = rig_connect(&r);
	rig_send(&r, fd, chunked, sizeof(chunked) - 1);
	rig_send(&r, fd, big, 0x9000);
	rig_recv(&r, fd, out, sizeof(out), SIZE_MAX, NULL, RIG_WAIT, NULL);
	CHECK(strncmp(out, "HTTP/1.1 413 ", 13) == 0);
	close(fd);
	CHECK_EQ(rig_ask(&r,
			 "POST /login HTTP/1.1\r\nHost: x\r\nConnection: close\r\nExpect: "
			 "100-continue\r\nContent-Length: 9999999\r\n\r\n",
			 out, sizeof(out)),
		 413);
	memset(big, 'x', HTTP_MAX_HEAD + 10);
	fd = rig_connect(&r);
	rig_send(&r, fd, big, HTTP_MAX_HEAD + 10);
	rig_recv(&r, fd, out, sizeof(out), SIZE_MAX, NULL, RIG_WAIT, NULL);
	CHECK(strncmp(out, "HTTP/1.1 431 ", 13) == 0);
	close(fd);
	rig_close(&r);
}

static void logs_in(void)
{
	char token[64] = "", second[64] = "", header[128];
	struct rig r;

	CHECK_OR_RETURN(rig_open(&r));
	CHECK_EQ(rig_register(&r, "a", RIG_KEY), 201);
	CHECK_EQ(rig_post(&r, "/login", "", "{\"clientID\":\"a\",\"authKey\":\"" RIG_KEY "\"}", out,
			  sizeof(out)),
		 200);
	CHECK_EQ(sscanf(body_of(out), "{\"bearerToken\":\"%32[A-Za-z0-9_-]\",\"code\":\"200\"}", token), 1);
	CHECK_EQ(strlen(token), 32);
	snprintf(header, sizeof(header), "Authorization: Bearer %s\r\n", token);
	CHECK_EQ(rig_get(&r, "/calls/c/sessions", header, out, sizeof(out)),
		 503); // let in: calls are not there yet
	CHECK_EQ(rig_post(&r, "/login", "", "{\"clientID\":\"a\",\"authKey\":\"" RIG_KEY "\"}", out,
			  sizeof(out)),
		 200);
	sscanf(body_of(out), "{\"bearerToken\":\"%32[A-Za-z0-9_-]", second);
	CHECK(strcmp(token, second) != 0);
	CHECK_EQ(rig_post(&r, "/unregister", header, "{\"clientID\":\"a\"}", out, sizeof(out)),
		 401); // one token a client
	check_has("authentication failed: token is invalid");
	snprintf(header, sizeof(header), "Authorization: bearer %s\r\n", second); // case counts
	CHECK_EQ(rig_post(&r, "/unregister", header, "{\"clientID\":\"a\"}", out, sizeof(out)), 401);
	check_has("invalid auth header");
	snprintf(header, sizeof(header), "Authorization: Bearer %s\r\n", second);
	CHECK_EQ(rig_post(&r, "/unregister", header, "{\"clientID\":\"a\"}", out, sizeof(out)), 200);
	CHECK_STR(body_of(out), "{\"code\":\"200\"}\n");
	CHECK_EQ(rig_get(&r, "/calls/c/sessions", header, out, sizeof(out)), 401);
	rig_close(&r);
}

static void tokens_expire(void)
{
	char token[64] = "", header[128];
	struct rig r;

	CHECK_OR_RETURN(rig_open(&r));
	r.conf.api.session_expiration_min = 0;
	CHECK_EQ(rig_register(&r, "a", RIG_KEY), 201);
	CHECK_EQ(rig_post(&r, "/login", "", "{\"clientID\":\"a\",\"authKey\":\"" RIG_KEY "\"}", out,
			  sizeof(out)),
		 200);
	sscanf(body_of(out), "{\"bearerToken\":\"%32[A-Za-z0-9_-]", token);
	snprintf(header, sizeof(header), "Authorization: Bearer %s\r\n", token);
	CHECK_EQ(rig_post(&r, "/unregister", header, "{}", out, sizeof(out)), 401);
	check_has("authentication failed: session is expired");
	CHECK_EQ(rig_post(&r, "/unregister", header, "{}", out, sizeof(out)), 401);
	check_has("authentication failed: token is invalid"); // forgotten by then
	rig_close(&r);
}

static ns_t login_time(struct rig *r, const char *body)
{
	ns_t best = NS_NEVER;

	for (int i = 0; i < 3; i++) {
		ns_t from = clock_now();

		rig_post(r, "/login", "", body, out, sizeof(out));
		if (clock_now() - from < best)
			best = clock_now() - from;
	}
	return best;
}

static void unknown_ids_look_like_wrong_keys(void)
{
	ns_t wrong, unknown;
	char text[256];
	struct rig r;

	CHECK_OR_RETURN(rig_open(&r));
	CHECK_EQ(rig_register(&r, "a", RIG_KEY), 201);
	wrong = login_time(&r, "{\"clientID\":\"a\",\"authKey\":\"wrong\"}");
	snprintf(text, sizeof(text), "%s", body_of(out));
	unknown = login_time(&r, "{\"clientID\":\"nobody\",\"authKey\":\"wrong\"}");
	CHECK_STR(body_of(out), text);
	CHECK_STR(text, "{\"code\":\"400\",\"error\":\"login failed: authentication failed\"}\n");
	CHECK(unknown > wrong / 3 && wrong > unknown / 3); // both cost one bcrypt
	CHECK(unknown > 10 * NS_PER_MS);
	rig_close(&r);
}

static void admin_guesses_are_limited(void)
{
	char header[512];
	int status = 0;
	struct rig r;

	CHECK_OR_RETURN(rig_open(&r));
	for (int i = 0; i < AUTH_FAILURES + 5; i++) {
		snprintf(header, sizeof(header), "%s", rig_basic("", "guess"));
		CHECK_EQ(rig_post(&r, "/unregister", header, "{\"clientID\":\"a\"}", out, sizeof(out)),
			 i < AUTH_FAILURES ? 401 : 429);
	}
	// Keys of this source are not compared for a while; one is again each second.
	for (int i = 0; i < 5 && status != 429; i++) {
		rig_post(&r, "/unregister", header, "{}", out, sizeof(out));
		status = rig_post(&r, "/unregister", rig_basic("x", RIG_ADMIN), "{}", out, sizeof(out));
	}
	CHECK_EQ(status, 429);
	check_has("Retry-After: ");
	rig_turn(&r, 1100 * NS_PER_MS);
	snprintf(header, sizeof(header), "%s", rig_basic("x", RIG_ADMIN));
	CHECK_EQ(rig_post(&r, "/unregister", header, "{\"clientID\":\"a\"}", out, sizeof(out)), 400);
	rig_close(&r);
}

static void unregisters(void)
{
	char admin[512], a[512];
	struct rig r;

	CHECK_OR_RETURN(rig_open(&r));
	CHECK_EQ(rig_register(&r, "a", RIG_KEY), 201);
	CHECK_EQ(rig_register(&r, "b", RIG_KEY), 201);
	snprintf(admin, sizeof(admin), "%s", rig_basic("x", RIG_ADMIN));
	snprintf(a, sizeof(a), "%s", rig_basic("a", RIG_KEY));
	CHECK_EQ(rig_post(&r, "/unregister", "", "{\"clientID\":\"a\"}", out, sizeof(out)), 401);
	CHECK_EQ(rig_post(&r, "/unregister", a, "{\"clientID\":\"\"}", out, sizeof(out)), 400);
	check_has("client id should not be empty");
	CHECK_EQ(rig_post(&r, "/unregister", a, "{\"clientID\":\"b\"}", out, sizeof(out)), 403);
	check_has("client id not valid");
	CHECK_EQ(rig_post(&r, "/unregister", admin, "{\"clientID\":\"nobody\"}", out, sizeof(out)), 400);
	check_has("unregister failed: error: not found");
	CHECK_EQ(rig_post(&r, "/unregister", admin, "{\"clientID\":\"b\"}", out, sizeof(out)), 200);
	CHECK_STR(r.gone, "b");
	CHECK_EQ(rig_post(&r, "/unregister", a, "{\"clientID\":\"a\"}", out, sizeof(out)), 200);
	CHECK_EQ(rig_post(&r, "/unregister", a, "{\"clientID\":\"a\"}", out, sizeof(out)),
		 401); // remembered keys die with it
	r.conf.api.enable_admin = r.conf.api.allow_self_registration = false;
	CHECK_EQ(rig_post(&r, "/unregister", a, "{\"clientID\":\"a\"}", out, sizeof(out)), 403);
	check_has("unregister not enabled");
	rig_close(&r);
}

static void registrations_are_limited(void)
{
	struct rig r;
	char id[16];

	CHECK_OR_RETURN(rig_open(&r));
	r.conf.api.register_per_min = 3;
	for (int i = 0; i < 4; i++) {
		snprintf(id, sizeof(id), "c%d", i);
		CHECK_EQ(rig_register(&r, id, RIG_KEY), i < 3 ? 201 : 429);
	}
	r.conf.api.register_per_min = 100;
	r.conf.api.max_clients = 4;
	CHECK_EQ(rig_register(&r, "c4", RIG_KEY), 201);
	CHECK_EQ(rig_register(&r, "c5", RIG_KEY), 403);
	rig_close(&r);
}

static void verified_keys_pass_under_attack(void)
{
	char a[512], bad[512];
	int status = 401;
	ns_t from;
	struct rig r;

	CHECK_OR_RETURN(rig_open(&r));
	CHECK_EQ(rig_register(&r, "a", RIG_KEY), 201);
	snprintf(a, sizeof(a), "%s", rig_basic("a", RIG_KEY));
	snprintf(bad, sizeof(bad), "%s", rig_basic("a", "wrong-key"));
	CHECK_EQ(rig_get(&r, "/calls/c/sessions", a, out, sizeof(out)), 503);
	for (int i = 0; i < 3 * AUTH_FAILURES && status == 401; i++) // until it is refused unheard
		status = rig_get(&r, "/calls/c/sessions", bad, out, sizeof(out));
	CHECK_EQ(status, 429);
	check_has("Retry-After: ");
	check_has("too many failures\n");
	from = clock_now();
	CHECK_EQ(rig_get(&r, "/calls/c/sessions", a, out, sizeof(out)), 503); // still let in, without bcrypt
	CHECK(clock_now() - from < 20 * NS_PER_MS);
	rig_close(&r);
}

static void strangers_fail_until_unheard(struct rig *r)
{
	int status = 401;

	for (int i = 0; i < 3 * AUTH_FAILURES && status == 401; i++)
		status = rig_get(r, "/calls/c/sessions", rig_basic("nobody", "wrong-key"), out, sizeof(out));
	CHECK_EQ(status, 429);
}

static void neighbours_are_heard(void)
{
	char text[512];
	int status = 401;
	struct rig r;

	CHECK_OR_RETURN(rig_open(&r));
	CHECK_EQ(rig_register(&r, "a", RIG_KEY), 201);
	CHECK_EQ(rig_register(&r, "b", RIG_KEY), 201);
	strangers_fail_until_unheard(&r);
	check_has("Retry-After: ");
	snprintf(text, sizeof(text), "%s", body_of(out));
	CHECK_EQ(rig_get(&r, "/calls/c/sessions", rig_basic("a", RIG_KEY), out, sizeof(out)), 503); // let in
	for (int i = 0; i < AUTH_FAILURES / 2 && status != 429; i++) // far from its own limit
		status = rig_get(&r, "/calls/c/sessions", rig_basic("b", "wrong-key"), out, sizeof(out));
	CHECK_EQ(status, 429);
	CHECK_STR(body_of(out), text); // as to ids that nobody has
	CHECK_EQ(rig_get(&r, "/calls/c/sessions", rig_basic("b", RIG_KEY), out, sizeof(out)), 503);
	rig_close(&r);
}

static int fail_by_proxy(struct rig *r, const char *address)
{
	char headers[512];

	snprintf(headers, sizeof(headers), "X-Forwarded-For: %s\r\n%s", address,
		 rig_basic("nobody", "wrong-key"));
	return rig_get(r, "/calls/c/sessions", headers, out, sizeof(out));
}

static void proxies_ask_for_others(void)
{
	char *proxy = "127.0.0.0/8";
	int status = 401;
	struct rig r;

	CHECK_OR_RETURN(rig_open(&r));
	CHECK_EQ(http_trust(r.http, &proxy, 1), 0);
	for (int i = 0; i < 3 * AUTH_FAILURES && status == 401; i++)
		status = fail_by_proxy(&r, "198.51.100.2, 198.51.100.1");
	CHECK_EQ(status, 429);
	CHECK_EQ(fail_by_proxy(&r, "198.51.100.1, 198.51.100.2"), 401);
	for (int i = status = 0; i < AUTH_FAILURES / 2 && status != 429; i++)
		status = fail_by_proxy(&r, "198.51.100.1");
	CHECK_EQ(status, 429);
	rig_close(&r);
}

// n requests at once, each on a connection of its own, with keys made from key and, for different ones, their number.
static void ask_at_once(struct rig *r, int *fd, unsigned n, const char *user, const char *key, bool differ)
{
	char header[512], request[1024], keys[64];

	for (unsigned i = 0; i < n; i++) {
		snprintf(keys, sizeof(keys), differ ? "%s%u" : "%s", key, i);
		snprintf(header, sizeof(header), "%s", rig_basic(user, keys));
		snprintf(request, sizeof(request),
			 "GET /calls/c/sessions HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%s\r\n", header);
		fd[i] = rig_connect(r);
		CHECK(fd[i] >= 0 && rig_send(r, fd[i], request, strlen(request)));
	}
}

static unsigned count_answers(struct rig *r, int *fd, unsigned n, const char *status)
{
	unsigned found = 0;

	for (unsigned i = 0; i < n; i++) {
		rig_recv(r, fd[i], out, sizeof(out), sizeof(out) - 1, NULL, RIG_WAIT, NULL);
		found += strncmp(out, status, strlen(status)) == 0;
		close(fd[i]);
	}
	return found;
}

static void right_keys_cost_nothing(void)
{
	int fd[3 * AUTH_FAILURES];
	struct rig r;

	CHECK_OR_RETURN(rig_open(&r));
	CHECK_EQ(rig_register(&r, "a", RIG_KEY), 201);
	ask_at_once(&r, fd, ARRAY_LEN(fd), "a", RIG_KEY, false);
	CHECK_EQ(count_answers(&r, fd, ARRAY_LEN(fd), "HTTP/1.1 503"), ARRAY_LEN(fd));
	for (int i = 0; i < AUTH_FAILURES; i++) // none of its failures is used up
		CHECK_EQ(rig_get(&r, "/calls/c/sessions", rig_basic("a", "wrong-key"), out, sizeof(out)),
			 401);
	rig_close(&r);
}

static void guesses_at_once_are_limited(void)
{
	int fd[50];
	unsigned n;
	struct rig r;

	CHECK_OR_RETURN(rig_open(&r));
	ask_at_once(&r, fd, ARRAY_LEN(fd), "nobody", "guess", true);
	rig_turn(&r, 5 * NS_PER_MS); // most of them are waiting for their judgment
	CHECK_EQ(rig_post(&r, "/unregister", rig_basic("x", RIG_ADMIN), "{}", out, sizeof(out)), 429);
	n = count_answers(&r, fd, ARRAY_LEN(fd), "HTTP/1.1 401");
	CHECK(n >= AUTH_FAILURES && n < AUTH_FAILURES + 4); // some time has passed meanwhile
	rig_close(&r);
}

static void credentials_survive(void)
{
	char url[96], header[512], why[128];
	struct metrics *first;
	struct rig r;

	CHECK_OR_RETURN(rig_open(&r));
	CHECK_EQ(rig_register(&r, "a", RIG_KEY), 201);
	snprintf(url, sizeof(url), "lmdb:%s/db", r.dir);
	auth_free(r.auth);
	store_close(r.store);
	r.store = store_open(r.loop, url, why, sizeof(why)); // as after a restart
	first = r.metrics; // the server's; what the first auth registered there is never asked again
	r.auth = auth_new(r.loop, &r.conf, r.store, r.metrics = metrics_new(), rig_on_gone, &r);
	CHECK_OR_RETURN(r.auth != NULL);
	api_bind(r.api, &(struct api_parts){.conf = &r.conf,
					    .http = r.http,
					    .auth = r.auth,
					    .plugins = r.plugins,
					    .metrics = r.metrics,
					    .sysload = r.sysload});
	snprintf(header, sizeof(header), "%s", rig_basic("a", RIG_KEY));
	CHECK_EQ(rig_get(&r, "/calls/c/sessions", header, out, sizeof(out)), 503);
	CHECK_EQ(rig_get(&r, "/calls/c/sessions/s/media", header, out, sizeof(out)), 503);
	rig_close(&r);
	metrics_free(first);
}

static void calls_route(void)
{
	char a[512];
	struct rig r;

	CHECK_OR_RETURN(rig_open(&r));
	CHECK_EQ(rig_get(&r, "/calls/c/sessions", "", out, sizeof(out)), 401);
	check_has("Content-Type: text/plain; charset=utf-8\r\n");
	CHECK_STR(body_of(out), "unauthorized\n");
	snprintf(a, sizeof(a), "%s", rig_basic("x", RIG_ADMIN));
	CHECK_EQ(rig_get(&r, "/calls/c/sessions/s", a, out, sizeof(out)), 401); // the admin has no group
	CHECK_STR(body_of(out), "unauthorized\n");
	CHECK_EQ(rig_get(&r, "/calls/c/sessions/s/media", "", out, sizeof(out)), 401);
	CHECK_EQ(rig_get(&r, "/calls/c/sessions/s/media", a, out, sizeof(out)), 401);
	CHECK_STR(body_of(out), "unauthorized\n");
	CHECK_EQ(rig_get(&r, "/calls/c/sessions/s/other", a, out, sizeof(out)), 404);
	rig_close(&r);
}

static void metrics_route(void)
{
	char admin[512];
	struct rig r;

	CHECK_OR_RETURN(rig_open(&r));
	CHECK_EQ(rig_get(&r, "/metrics", "", out, sizeof(out)), 200);
	check_has("Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n");
	r.conf.api.metrics_public = false;
	CHECK_EQ(rig_get(&r, "/metrics", "", out, sizeof(out)), 401);
	snprintf(admin, sizeof(admin), "%s", rig_basic("x", RIG_ADMIN));
	CHECK_EQ(rig_get(&r, "/metrics", admin, out, sizeof(out)), 200);
	rig_close(&r);
}

CU_TestInfo api_tests[] = {
	{"/version and /system", version_and_system},
	{"D6: unknown paths, wrong methods and pprof are the same 404", not_found},
	{"paths that are not clean are redirected", redirects},
	{"registers, and an existing id keeps its key", registers},
	{"refuses registrations in the documented words", refuses_registrations},
	{"D1: without self-registration only the admin registers", only_admin_registers},
	{"D5: bodies and heads above the limits are 413 and 431", bodies_are_bounded},
	{"logs in; one token a client; unregister ends it", logs_in},
	{"tokens expire", tokens_expire},
	{"D3: an unknown id and a wrong key look the same, in text and time",
	 unknown_ids_look_like_wrong_keys},
	{"D2: guesses of the admin key are limited", admin_guesses_are_limited},
	{"unregisters in the documented order", unregisters},
	{"D7: registrations by source, and clients, are limited", registrations_are_limited},
	{"D4: a verified key passes while its source is refused", verified_keys_pass_under_attack},
	{"who fails does not use up what others behind its address have", neighbours_are_heard},
	{"who asks through a trusted proxy is limited by his own address", proxies_ask_for_others},
	{"right keys cost their owner nothing, however many come at once", right_keys_cost_nothing},
	{"D2: guesses that wait for their judgment are paid for", guesses_at_once_are_limited},
	{"credentials survive a restart", credentials_survive},
	{"/calls refuses strangers and the admin", calls_route},
	{"D6: /metrics can be for the admin only", metrics_route},
	CU_TEST_INFO_NULL,
};
