// natdiscover.h as the hub uses it: one address.
#include "controlplane/nat/natdiscover.h"

#include <stdlib.h>
#include <string.h>

struct nat {
	int unused;
};

struct nat *nat_new(struct loop *l, const struct conf *c)
{
	return calloc(1, sizeof(struct nat));
}
void nat_free(struct nat *n)
{
	free(n);
}
void nat_set_tcp_port(struct nat *n, uint16_t port)
{
}
unsigned nat_candidates(struct nat *n, struct nat_candidate out[NAT_MAX_CANDIDATES])
{
	out[0] = (struct nat_candidate){
		.addr = "127.0.0.1", .base = "127.0.0.1", .port = 8443, .priority = 2130706431};
	strcpy(out[0].foundation, "2631669666");
	return 1;
}
