#include "controlplane/auth/credval.h"

#include "controlplane/sys/json.h"
#include "lib/base/buf.h"

bool credval_is_token_hash(struct str s)
{
	for (size_t i = 0; i < s.len; i++)
		if (!((s.p[i] >= '0' && s.p[i] <= '9') || (s.p[i] >= 'a' && s.p[i] <= 'f')))
			return false;
	return s.len == CREDVAL_TOKEN_HASH_LEN;
}

static size_t result(const struct wbuf *w)
{
	return w->full ? 0 : wbuf_len(w);
}

size_t credval_write(char out[CREDVAL_MAX], const char *hash, int64_t created, const char *node)
{
	struct wbuf w = wbuf_of(out, CREDVAL_MAX);

	wbuf_printf(&w, "{\"hash\":");
	json_write_str(&w, str_of(hash));
	wbuf_printf(&w, ",\"created\":%lld,\"node\":", (long long)created);
	json_write_str(&w, str_of(node));
	wbuf_printf(&w, "}");
	return result(&w);
}

size_t credval_write_token(char out[CREDVAL_MAX], struct str client, int64_t expires)
{
	struct wbuf w = wbuf_of(out, CREDVAL_MAX);

	wbuf_printf(&w, "{\"client\":");
	json_write_str(&w, client);
	wbuf_printf(&w, ",\"expires\":%lld}", (long long)expires);
	return result(&w);
}

size_t credval_write_bearer(char out[CREDVAL_MAX], const char *token_hash)
{
	struct wbuf w = wbuf_of(out, CREDVAL_MAX);

	wbuf_printf(&w, "{\"token\":\"%s\"}", token_hash);
	return result(&w);
}

// bcrypt in modular crypt format: "$2a$10$" and 53 characters of its alphabet.
static bool is_bcrypt(struct str s)
{
	if (s.len != 60 || s.p[0] != '$' || s.p[1] != '2' || s.p[3] != '$' || s.p[6] != '$')
		return false;
	for (size_t i = 7; i < s.len; i++)
		if (!((s.p[i] >= '.' && s.p[i] <= '9') || (s.p[i] >= 'A' && s.p[i] <= 'Z') ||
		      (s.p[i] >= 'a' && s.p[i] <= 'z')))
			return false;
	return true;
}

bool credval_read(struct str value, struct credval *v)
{
	struct json_doc *doc = json_doc_parse(value);
	struct str hash;
	bool ok = doc != NULL && json_doc_str(doc, "hash", &hash) && is_bcrypt(hash) &&
		  str_copy(hash, v->hash, sizeof(v->hash)) && json_doc_int(doc, "created", &v->created);

	json_doc_free(doc);
	return ok;
}

bool credval_read_token(struct str value, struct credval_token *t)
{
	struct json_doc *doc = json_doc_parse(value);
	struct str client;
	bool ok = doc != NULL && json_doc_str(doc, "client", &client) && client.len > 0 &&
		  str_copy(client, t->client, sizeof(t->client)) && json_doc_int(doc, "expires", &t->expires);

	json_doc_free(doc);
	return ok;
}

bool credval_read_bearer(struct str value, char token_hash[CREDVAL_TOKEN_HASH_LEN + 1])
{
	struct json_doc *doc = json_doc_parse(value);
	struct str hash;
	bool ok = doc != NULL && json_doc_str(doc, "token", &hash) && credval_is_token_hash(hash) &&
		  str_copy(hash, token_hash, CREDVAL_TOKEN_HASH_LEN + 1);

	json_doc_free(doc);
	return ok;
}
