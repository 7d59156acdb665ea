// Our credentials and the peer's: the current ones, and those of before an ICE restart while they still hold.
#include <errno.h>

#include "lib/rtc/ice/icelite_priv.h"

static bool ct_eq(const char *a, const char *b, size_t len)
{
	unsigned diff = 0;

	for (size_t i = 0; i < len; i++)
		diff |= (unsigned)(uint8_t)(a[i] ^ b[i]);
	return diff == 0;
}

bool icelite_creds_named(const struct icelite_creds *c, struct str ufrag)
{
	return c->is_set && ufrag.len == ICELITE_UFRAG_LEN && ct_eq(c->ufrag, ufrag.p, ICELITE_UFRAG_LEN);
}

void icelite_creds_drop_old(struct icelite *a, struct icelite_out *out)
{
	struct icelite_creds *c = creds_old(a);

	a->has_old_deadline = false;
	if (!c->is_set)
		return;
	memcpy(out->gone_ufrag, c->ufrag, ICELITE_UFRAG_LEN);
	out->events |= ICELITE_EV_CREDS_GONE;
	explicit_bzero(c, sizeof(*c));
}

void icelite_creds_used(struct icelite *a, struct icelite_creds *c, uint32_t t)
{
	if (c->is_used)
		return;
	c->is_used = true;
	if (c == creds_now(a) && creds_old(a)->is_set) {
		a->has_old_deadline = true;
		a->old_deadline = t + OLD_CREDS;
	}
}

static void creds_set_remote(struct icelite *a, struct icelite_creds *c, struct str ufrag, struct str pwd)
{
	if (ufrag.len > 0)
		memcpy(c->remote_ufrag, ufrag.p, ufrag.len);
	c->remote_ufrag_len = (uint8_t)ufrag.len;
	if (c != creds_now(a))
		return;
	a->remote_pwd_len = 0;
	if (pwd.len > 0 && pwd.len <= ICELITE_REMOTE_PWD) {
		memcpy(a->remote_pwd, pwd.p, pwd.len);
		a->remote_pwd_len = (uint8_t)pwd.len;
	}
}

int icelite_set_creds(struct icelite *a, const char *ufrag, const char *pwd, struct str remote_ufrag,
		      struct str remote_pwd, struct icelite_out *out)
{
	struct str name = {ufrag, ICELITE_UFRAG_LEN};
	struct icelite_creds *c;

	out_clear(out);
	if (remote_ufrag.len > ICELITE_REMOTE_UFRAG)
		return -EINVAL;
	if (icelite_creds_named(creds_now(a), name)) {
		c = creds_now(a);
	} else if (icelite_creds_named(creds_old(a), name)) {
		c = creds_old(a);
	} else {
		icelite_creds_drop_old(a, out);
		if (creds_now(a)->is_set)
			a->generation++;
		a->nomination = 0; // counts from the start again after an ICE restart
		for (int i = 0; i < ICELITE_PAIRS; i++) {
			a->pair[i].is_asked = false; // its answer would be signed with the old password
			a->pair[i].n_probes = 0;
		}
		c = creds_now(a);
		c->is_set = true;
		memcpy(c->ufrag, ufrag, ICELITE_UFRAG_LEN);
	}
	memcpy(c->pwd, pwd, ICELITE_PWD_LEN);
	creds_set_remote(a, c, remote_ufrag, remote_pwd);
	return 0;
}
