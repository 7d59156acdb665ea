#include "controlplane/session/signal/sigmsg.h"

#include <jansson.h>

#include "lib/base/err.h"

static json_t *load_object(struct str json)
{
	json_t *root;

	if (json.len > SIGMSG_MAX_JSON)
		return err_null(E2BIG);
	root = json_loadb(json.p ? json.p : "", json.len, JSON_DISABLE_EOF_CHECK | JSON_ALLOW_NUL, NULL);
	if (root != NULL && json_is_object(root))
		return root;
	json_decref(root);
	return err_null(EBADMSG);
}

static struct str string_of(const json_t *v)
{
	return json_is_string(v) ? (struct str){json_string_value(v), json_string_length(v)} : STR_NONE;
}

int sigmsg_parse_sdp(struct str json, struct sigmsg_sdp *m)
{
	json_t *root = load_object(json);
	struct str type;

	*m = (struct sigmsg_sdp){};
	if (root == NULL)
		return -errno;
	type = string_of(json_object_get(root, "type"));
	m->sdp = string_of(json_object_get(root, "sdp"));
	m->root = root;
	if (str_ieq(type, STR("offer"))) {
		m->type = SIGMSG_OFFER;
	} else if (str_ieq(type, STR("answer"))) {
		m->type = SIGMSG_ANSWER;
	} else {
		sigmsg_free(m);
		return -EBADMSG;
	}
	if (m->sdp.p == NULL) {
		sigmsg_free(m);
		return -EBADMSG;
	}
	return 0;
}

void sigmsg_free(struct sigmsg_sdp *m)
{
	json_decref(m->root);
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
	json_t *root = load_object(json), *value;
	const char *name;
	int rc = 0;

	out[0] = '\0';
	if (root == NULL)
		return -EBADMSG;
	json_object_foreach(root, name, value) // rtcd reads a map of strings: one other value spoils it all
		if (!json_is_string(value)) rc = -EBADMSG;
	if (rc == 0 && !str_copy(string_of(json_object_get(root, key)), out, size))
		rc = -EBADMSG;
	json_decref(root);
	return rc;
}

int sigmsg_check_candidate(struct str json)
{
	json_t *root = load_object(json);
	int rc;

	if (root == NULL)
		return -EBADMSG;
	rc = json_is_string(json_object_get(root, "candidate")) ? 0 : -EBADMSG;
	json_decref(root);
	return rc;
}
