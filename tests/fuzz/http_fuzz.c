// Requests: head, path, chunked body (at once and in pieces), JSON body of /register.
// sources: controlplane/http/httpmsg.c controlplane/http/httpchunks.c controlplane/http/httppath.c controlplane/sys/json.c
// libs: -ljansson
// max_len: 65536
#include <stdlib.h>

#include "controlplane/http/httpchunks.h"
#include "controlplane/http/httpmsg.h"
#include "controlplane/http/httppath.h"
#include "controlplane/sys/json.h"
#include "lib/base/err.h"

static void inside(struct str s, const char *p, size_t size)
{
	MUST(s.len == 0 || (s.p >= p && s.p + s.len <= p + size));
}

static void check_path(struct str path)
{
	char *clean = malloc(path.len + 2), plain[256];
	struct str segments[HTTP_MAX_SEGMENTS];
	int n = http_path_clean(path, clean, path.len + 2);

	MUST(n >= 1 && clean[0] == '/' && http_path_is_clean(str_of(clean)));
	n = http_path_split(path, segments);
	for (int i = 0; i < n; i++)
		MUST(http_unescape(segments[i], plain, sizeof(plain)) < (int)sizeof(plain));
	free(clean);
}

static void check_chunks(const char *p, size_t len, size_t piece)
{
	char *whole = malloc(len + 1), *parts = malloc(len + 1), *copy = malloc(len + 1);
	struct http_chunks a = {}, b = {};
	size_t n_whole, n_parts = 0;
	int rc = http_chunks_feed(&a, p, len, whole, &n_whole);

	for (size_t at = 0; at < len && b.state != CHUNK_DONE;) {
		size_t n = len - at < piece ? len - at : piece, n_out;
		int used;

		memcpy(copy, p + at, n);
		used = http_chunks_feed(&b, copy, n, copy, &n_out); // in place, as the server does
		if (used < 0) {
			MUST(rc < 0);
			goto out;
		}
		memcpy(parts + n_parts, copy, n_out);
		n_parts += n_out;
		at += (size_t)used;
	}
	MUST(rc >= 0 && a.state == b.state && n_parts == n_whole && memcmp(whole, parts, n_parts) == 0);
out:
	free(whole);
	free(parts);
	free(copy);
}

static void check_json(struct str body)
{
	struct json_field fields[2] = {{"clientID", NULL}, {"authKey", NULL}};
	char why[128] = "", out[4096];
	struct wbuf w = wbuf_of(out, sizeof(out));
	int rc = json_read_strings(body, fields, 2, why, sizeof(why));

	MUST(rc == 0 || (rc == -EBADMSG && why[0] != '\0'));
	if (rc == 0 && fields[0].value) {
		struct json_doc *doc;
		struct str again;

		wbuf_printf(&w, "{\"x\":");
		json_write_str(&w, str_of(fields[0].value));
		wbuf_printf(&w, "}");
		doc = w.full ? NULL : json_doc_parse((struct str){out, wbuf_len(&w)});
		if (!w.full) // what we write reads back as it was
			MUST(doc && json_doc_str(doc, "x", &again) && str_eq(again, str_of(fields[0].value)));
		json_doc_free(doc);
	}
	json_fields_free(fields, 2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *p = (const char *)data;
	size_t end = http_head_end(p, size, 0), at = 0;
	struct http_head *h;

	for (size_t i = 1; i <= size && at == 0; i++) // found in steps as at once
		at = http_head_end(p, i, i - 1);
	MUST(at == end);
	if (end == 0)
		return 0;
	h = malloc(sizeof(*h));
	if (http_parse_head(p, end, h) == 0) {
		inside(h->method, p, end);
		MUST(h->n_headers <= HTTP_MAX_HEADERS && !(h->is_chunked && h->has_length));
		for (unsigned i = 0; i < h->n_headers; i++) {
			inside(h->headers[i].name, p, end);
			inside(h->headers[i].value, p, end);
		}
		if (h->path.p[0] == '/')
			check_path(h->path);
		check_chunks(p + end, size - end, 1 + end % 7);
		check_json((struct str){p + end, size - end});
	}
	free(h);
	return 0;
}
