#include "controlplane/session/signal/sigmsg.h"

#include <stdlib.h>

#include "controlplane/sys/jsonscan.h"
#include "lib/base/err.h"

// The raw values of two keys, STR_NONE where it is missing or no string; of a name that comes twice the last counts.
struct key_pick {
	struct str name[2], raw[2];
	bool has_other; // a member that is no string, picked or not
};

static int find_members(struct str json, struct key_pick *w)
{
	struct jsonscan scan;
	struct jsonscan_member m;
	int rc;

	if (json.len > SIGMSG_MAX_JSON)
		return -E2BIG;
	if (jsonscan_begin(&scan, json) < 0)
		return -EBADMSG;
	while ((rc = jsonscan_next(&scan, &m)) > 0) {
		w->has_other |= m.kind != JSONSCAN_STRING;
		for (unsigned i = 0; i < 2; i++)
			if (w->name[i].len > 0 && jsonscan_is(m.name, w->name[i]))
				w->raw[i] = m.kind == JSONSCAN_STRING ? m.value : STR_NONE;
	}
	return rc;
}

static int read_type(struct str raw, enum sigmsg_type *type)
{
	char word[64];
	size_t n;

	if (raw.len > sizeof(word) || jsonscan_unescape(raw, word, &n) < 0)
		return -EBADMSG;
	if (str_ieq((struct str){word, n}, STR("offer")))
		*type = SIGMSG_OFFER;
	else if (str_ieq((struct str){word, n}, STR("answer")))
		*type = SIGMSG_ANSWER;
	else
		return -EBADMSG;
	return 0;
}

int sigmsg_parse_sdp(struct str json, struct sigmsg_sdp *m)
{
	struct key_pick w = {.name = {STR("type"), STR("sdp")}};
	size_t n;
	int rc = find_members(json, &w);

	*m = (struct sigmsg_sdp){};
	if (rc < 0)
		return rc;
	if (w.raw[1].p == NULL || read_type(w.raw[0], &m->type) < 0)
		return -EBADMSG;
	m->text = malloc(w.raw[1].len + 1);
	if (m->text == NULL)
		return -ENOMEM;
	if (jsonscan_unescape(w.raw[1], m->text, &n) < 0) {
		sigmsg_free(m);
		return -EBADMSG;
	}
	m->sdp = (struct str){m->text, n};
	return 0;
}

void sigmsg_free(struct sigmsg_sdp *m)
{
	free(m->text);
	*m = (struct sigmsg_sdp){};
}

static void write_html_escaped(struct wbuf *w, struct str s)
{
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.p[i];
		if (c == '"' || c == '\\')
			wbuf_printf(w, "\\%c", c);
		else if (c == '\r')
			wbuf_bytes(w, "\\r", 2);
		else if (c == '\n')
			wbuf_bytes(w, "\\n", 2);
		else if (c < 0x20 || c == '<' || c == '>' || c == '&')
			wbuf_printf(w, "\\u%04x", c);
		else
			wbuf_u8(w, c);
	}
}

void sigmsg_write_sdp(struct wbuf *w, enum sigmsg_type type, struct str sdp)
{
	const char *head =
		type == SIGMSG_OFFER ? "{\"type\":\"offer\",\"sdp\":\"" : "{\"type\":\"answer\",\"sdp\":\"";

	wbuf_bytes(w, head, strlen(head));
	write_html_escaped(w, sdp);
	wbuf_bytes(w, "\"}", 2);
}

int sigmsg_parse_id(struct str json, const char *key, char *out, size_t size)
{
	struct key_pick w = {.name = {str_of(key)}};
	char id[6 * 256];
	size_t n;

	out[0] = '\0';
	if (find_members(json, &w) < 0 || w.has_other) // rtcd reads a map of strings: one other value spoils it all
		return -EBADMSG;
	if (w.raw[0].len > sizeof(id) || jsonscan_unescape(w.raw[0], id, &n) < 0)
		return -EBADMSG;
	return str_copy((struct str){id, n}, out, size) ? 0 : -EBADMSG;
}

int sigmsg_check_candidate(struct str json)
{
	struct key_pick w = {.name = {STR("candidate")}};

	return find_members(json, &w) == 0 && w.raw[0].p != NULL ? 0 : -EBADMSG;
}
