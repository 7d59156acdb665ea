// Answers to requests.
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "controlplane/http/http_conn.h"
#include "lib/base/err.h"
#include "lib/base/log.h"

static const char *status_text(unsigned status)
{
	static const struct {
		unsigned status;
		const char *text;
	} known[] = {
		{200, "OK"},
		{201, "Created"},
		{301, "Moved Permanently"},
		{400, "Bad Request"},
		{401, "Unauthorized"},
		{403, "Forbidden"},
		{404, "Not Found"},
		{413, "Request Entity Too Large"},
		{429, "Too Many Requests"},
		{431, "Request Header Fields Too Large"},
		{500, "Internal Server Error"},
		{501, "Not Implemented"},
		{503, "Service Unavailable"},
		{505, "HTTP Version Not Supported"},
	};

	for (unsigned i = 0; i < ARRAY_LEN(known); i++)
		if (known[i].status == status)
			return known[i].text;
	return "Unknown";
}

static int reply_write_head(struct conn *c, const struct http_response *r, bool close, char *out, size_t size)
{
	char date[40];
	time_t now = time(NULL);
	struct tm tm;
	const char *keep = close ? "Connection: close\r\n" : "";

	strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&now, &tm));
	if (!close && c->head && c->head->minor == 0)
		keep = "Connection: keep-alive\r\n";
	return snprintf(out, size, "HTTP/1.1 %u %s\r\n%s%s%sDate: %s\r\nContent-Length: %zu\r\n%s%s\r\n",
			r->status, status_text(r->status), r->content_type ? "Content-Type: " : "",
			r->content_type ? r->content_type : "", r->content_type ? "\r\n" : "", date,
			r->body.len, keep, r->headers ? r->headers : "");
}

// Without memory for its account an answer is nobody's.
static void unread_add(struct conn *c, struct str owner, size_t len)
{
	struct unread *u = map_find(c->http->unread, owner);

	if (c->unread != NULL)
		return;
	if (u == NULL) {
		u = calloc(1, sizeof(*u));
		if (u == NULL)
			return;
		u->owner = strndup(owner.p, owner.len);
		if (u->owner == NULL || map_put(c->http->unread, owner, u) < 0) {
			free(u->owner);
			free(u);
			return;
		}
	}
	u->held += len;
	c->unread = u;
	c->unread_len = len;
}

bool http_may_answer(struct http *h, struct str owner)
{
	struct unread *u = map_find(h->unread, owner);

	if (u == NULL || u->held < HTTP_UNREAD_MAX)
		return true;
	metric_add(h->metrics, M_HTTP_REFUSED, METRIC_LABELS(STR("unread answers")), 1);
	if (!u->is_logged)
		log_warn("http: client %s has %zu bytes of answers unread: it gets no more until it reads",
			 u->owner, u->held);
	u->is_logged = true;
	return false;
}

static void conn_reply(struct conn *c, const struct http_response *r)
{
	struct http *h = c->http;
	bool close = r->must_close || c->close_after || h->is_closing || !c->head || !c->head->keep_alive;
	bool is_head = c->head && str_eq(c->head->method, STR("HEAD"));
	char head[2560], code[8];
	int n;

	assert(c->state == CONN_HANDLED);
	n = reply_write_head(c, r, close, head, sizeof(head));

	snprintf(code, sizeof(code), "%u", r->status);
	metric_add(h->metrics, M_HTTP_REQUESTS,
		   METRIC_LABELS(str_of(code), r->route ? str_of(r->route) : STR("other")), 1);
	if (n < 0 || (size_t)n >= sizeof(head)) {
		conn_kill(c);
		return;
	}
	if (!conn_queue(c, head, (size_t)n) || (!is_head && !conn_queue(c, r->body.p, r->body.len)))
		return;
	if (r->owner.len > 0)
		unread_add(c, r->owner, r->body.len);
	if (close)
		conn_finish(c);
	else
		conn_next_request(c);
}

void http_reply(struct http *h, http_id id, const struct http_response *r)
{
	struct conn *c = conn_find(h, id);

	if (c != NULL && !c->is_dead && c->state == CONN_HANDLED)
		conn_reply(c, r);
}

void http_reply_text(struct http *h, http_id id, unsigned status, const char *text, const char *route)
{
	http_reply(h, id,
		   &(struct http_response){.status = status,
					   .content_type = "text/plain; charset=utf-8",
					   .body = str_of(text),
					   .headers = "X-Content-Type-Options: nosniff\r\n",
					   .route = route});
}

void conn_refuse(struct conn *c, unsigned status, const char *reason)
{
	char text[80];

	snprintf(text, sizeof(text), "%u %s", status, status_text(status));
	metric_add(c->http->metrics, M_HTTP_REFUSED, METRIC_LABELS(str_of(reason)), 1);
	conn_stop_waiting(c);
	c->state = CONN_HANDLED;
	conn_reply(c, &(struct http_response){.status = status,
					      .content_type = "text/plain; charset=utf-8",
					      .body = str_of(text),
					      .must_close = true});
}
