// One store.node_id, one node: two of the same would take each other's records for their own.
//
// The node's entry in a shared store (node.h) names its holder: this machine since it booted, its network and the
// address that the API is served on, which a predecessor that still lived would occupy. An entry of another
// holder is watched for longer than a beat: who lives renews it, what a dead one left does not change.
// thread: loop, before it runs.
#pragma once

#include <stddef.h>

#include "controlplane/store/store.h"
#include "controlplane/sys/loop.h"

#define CLAIM_HOLDER_LEN 16 // hex digits

// Who serves at this API address on this machine.
void claim_holder(const char *api, char out[CLAIM_HOLDER_LEN + 1]);
// Is this entry (JSON) another holder's?
bool claim_is_foreign(struct str entry, const char *holder);
// Wait until the entry of this node is ours to write; at once, unless somebody else's is there. Turns the loop.
// 0 (also when the store is away or not shared); -EBUSY: another node renews it, why[size] says who.
[[nodiscard]] int claim_node(struct loop *, struct store *, const char *id, const char *api, char *why,
			     size_t size);
