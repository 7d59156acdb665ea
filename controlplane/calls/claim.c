#include "controlplane/calls/claim.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "controlplane/calls/node.h"
#include "controlplane/sys/json.h"
#include "lib/base/err.h"
#include "lib/base/log.h"

#define LOOK_NS (500 * NS_PER_MS)
#define WATCH_NS (NODE_BEAT_NS + 2 * NS_PER_S)

// --- who --------------------------------------------------------------------------------------------------
static uint64_t fnv1a(uint64_t hash, const void *data, size_t len)
{
	const uint8_t *p = data;

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ p[i]) * 0x100000001b3;
	return hash;
}

void claim_holder(const char *api, char out[CLAIM_HOLDER_LEN + 1])
{
	char boot[64] = "";
	struct stat net = {};
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t len = fd < 0 ? 0 : read(fd, boot, sizeof(boot));
	uint64_t hash = 0xcbf29ce484222325;

	if (fd >= 0)
		close(fd);
	(void)!stat("/proc/self/ns/net", &net); // another network has the same addresses
	hash = fnv1a(hash, boot, len > 0 ? (size_t)len : 0);
	hash = fnv1a(hash, &net.st_ino, sizeof(net.st_ino));
	hash = fnv1a(hash, api, strlen(api));
	snprintf(out, CLAIM_HOLDER_LEN + 1, "%016llx", (unsigned long long)hash);
}

bool claim_is_foreign(struct str entry, const char *holder)
{
	struct json_doc *doc = json_doc_parse(entry);
	struct str other;
	bool is_foreign = doc && json_doc_str(doc, "holder", &other) && !str_eq(other, str_of(holder));

	json_doc_free(doc);
	return is_foreign;
}

// --- may we? ----------------------------------------------------------------------------------------------
struct look {
	char entry[2048];
	int rc;
	bool is_done;
};

static void on_look(void *arg, int rc, struct str value)
{
	struct look *l = arg;

	l->rc = rc == 0 && !str_copy(value, l->entry, sizeof(l->entry)) ? -EBADMSG : rc;
	l->is_done = true;
}

// The node's entry now. rc as of store_get.
static void claim_look(struct loop *loop, struct store *store, const char *id, struct look *l)
{
	char key[STORE_KEY_MAX];
	int len = snprintf(key, sizeof(key), "sluice:node:%s", id);

	*l = (struct look){};
	store_get(store, (struct str){key, (size_t)len}, on_look, l);
	while (!l->is_done)
		loop_turn(loop, 20 * NS_PER_MS);
}

static void sleep_turning(struct loop *loop, ns_t until)
{
	while (clock_now() < until)
		loop_turn(loop, 20 * NS_PER_MS);
}

// Where the API of an entry's holder is.
static void entry_api(const char *entry, char *out, size_t size)
{
	struct json_doc *doc = json_doc_parse(str_of(entry));
	struct str api;

	if (doc == NULL || !json_doc_str(doc, "api", &api) || !str_copy(api, out, size))
		snprintf(out, size, "?");
	json_doc_free(doc);
}

int claim_node(struct loop *loop, struct store *store, const char *id, const char *api, char *why,
	       size_t size)
{
	char holder[CLAIM_HOLDER_LEN + 1], theirs[256];
	struct look first, now;
	ns_t until;

	if (!store_is_shared(store))
		return 0;
	claim_holder(api, holder);
	claim_look(loop, store, id, &first);
	if (first.rc != 0 || !claim_is_foreign(str_of(first.entry), holder))
		return 0;
	entry_api(first.entry, theirs, sizeof(theirs));
	log_warn("start: store.node_id \"%s\" belongs to the node that serves at %s: waiting %lld s for a "
		 "sign of "
		 "its life",
		 id, theirs, (long long)(WATCH_NS / NS_PER_S));
	for (until = clock_now() + WATCH_NS; clock_now() < until;) {
		sleep_turning(loop, clock_now() + LOOK_NS);
		claim_look(loop, store, id, &now);
		if (now.rc != 0) // gone, or nobody to ask
			return 0;
		if (strcmp(now.entry, first.entry) == 0)
			continue;
		snprintf(why, size,
			 "store.node_id: \"%s\" is used by another node, which serves at %s: give each "
			 "node of a store its own",
			 id, theirs);
		return -EBUSY;
	}
	return 0;
}
