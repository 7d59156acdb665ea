#include "controlplane/session/env.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/err.h"
#include "lib/peer/dchan.h"

int session_env_init(struct session_env *env)
{
	const struct conf *c = env->conf;
	struct dtls_fingerprint fp;
	int rc = dtls_fingerprint_parse(&fp, STR("sha-256"), str_of(dtls_ctx_fingerprint(env->dtls)));

	if (rc < 0)
		return rc;
	env->neg = (struct negotiate_conf){.voice_lines = c->limits.voice_lines,
					   .max_message_size = DCHAN_MAX_MSG,
					   .answer_timeout = c->rtc.answer_s * NS_PER_S,
					   .lock_lease = c->rtc.lock_lease_s * NS_PER_S,
					   .dtls_active = c->rtc.dtls_role &&
							  strcmp(c->rtc.dtls_role, "active") == 0,
					   .video = true,
					   .rtx = c->rtc.rtx};
	env->neg.fingerprint.len = fp.len;
	memcpy(env->neg.fingerprint.hash, fp.value, fp.len);
	session_env_refresh(env);
	return 0;
}

void session_env_refresh(struct session_env *env)
{
	struct nat_candidate found[NAT_MAX_CANDIDATES];
	unsigned n, kept = 0;

	nat_set_tcp_port(env->nat, link_tcp_port(env->link));
	n = nat_candidates(env->nat, found);
	assert(n <= NAT_MAX_CANDIDATES);
	for (unsigned i = 0; i < n; i++) {
		struct sdp_candidate *c = &env->candidates[kept];
		if (sdp_candidate_init(c, str_of(found[i].addr), found[i].port, found[i].is_tcp, i) < 0)
			continue;
		c->priority = found[i].priority;
		c->foundation = (uint32_t)strtoul(found[i].foundation, NULL, 10);
		kept++;
	}
	env->neg.candidates = env->candidates;
	env->neg.n_candidates = kept;
}
