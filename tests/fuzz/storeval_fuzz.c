// Values a shared store hands us: what is accepted as a credential or a token is well-formed and bounded,
// and reads back from what we would write of it.
// sources: controlplane/auth/credval.c controlplane/sys/json.c
// libs: -ljansson
#include "controlplane/auth/credval.h"
#include "lib/base/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str value = {(const char *)data, size};
	char out[CREDVAL_MAX], hash[CREDVAL_TOKEN_HASH_LEN + 1];
	struct credval_token t, t2;
	struct credval c, c2;
	size_t len;

	if (credval_read(value, &c)) {
		MUST(strlen(c.hash) == 60);
		len = credval_write(out, c.hash, c.created, "node");
		MUST(len > 0 && credval_read((struct str){out, len}, &c2) && strcmp(c.hash, c2.hash) == 0 &&
		     c.created == c2.created);
	}
	if (credval_read_token(value, &t)) {
		MUST(t.client[0] != '\0');
		len = credval_write_token(out, str_of(t.client), t.expires);
		MUST(len > 0 && credval_read_token((struct str){out, len}, &t2) &&
		     strcmp(t.client, t2.client) == 0 && t.expires == t2.expires);
	}
	if (credval_read_bearer(value, hash))
		MUST(credval_is_token_hash(str_of(hash)));
	return 0;
}
