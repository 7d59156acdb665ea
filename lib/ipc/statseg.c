// Layout: struct statseg_head, then n_blocks blocks, each a multiple of 64 bytes. After the writer has mapped it
// the memfd is sealed against growing, shrinking and any further writable mapping, so that a reader cannot
// be hurt by truncation and cannot write although it holds the same descriptor.
#include "lib/ipc/statseg.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/err.h"

#define STATSEG_MAGIC UINT64_C(0x5345474c55494345)
#define STATSEG_VERSION 1
#define STATSEG_SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL)

struct statseg_head {
	alignas(64) uint64_t magic;
	uint32_t version;
	uint32_t n_blocks;
	uint32_t block_size; // bytes
	uint32_t n_counters;
	uint64_t names_hash;
	uint64_t boot_id;
};

struct statseg {
	void *base; // owned mapping
	size_t len;
	int fd; // owned; -1 for readers
	unsigned n_blocks;
};

static const struct counter_info infos[N_COUNTERS] = {
#define DROP(id, reason, help_) [DROP_##id] = {STAT_DROP, reason, "packets", help_},
#define COUNTER(id, name_, unit_, help_) [CTR_##id] = {STAT_COUNTER, name_, unit_, help_},
#define GAUGE(id, name_, unit_, help_) [GAUGE_##id] = {STAT_GAUGE, name_, unit_, help_},
#include "lib/ipc/counters.def"
};

const struct counter_info *counter_info(unsigned id)
{
	return id < N_COUNTERS && infos[id].name ? &infos[id] : NULL;
}

// FNV-1a over kinds and names in order: two builds that number counters differently do not read each other.
static uint64_t names_hash(void)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	for (unsigned i = 1; i < N_COUNTERS; i++) {
		h = (h ^ (unsigned)infos[i].kind) * UINT64_C(0x100000001b3);
		for (const char *p = infos[i].name; p && *p; p++)
			h = (h ^ (unsigned char)*p) * UINT64_C(0x100000001b3);
	}
	return h;
}

static size_t segment_len(unsigned n_blocks)
{
	return sizeof(struct statseg_head) + n_blocks * sizeof(struct statseg_block);
}

struct statseg *statseg_create(unsigned n_blocks, uint64_t boot_id)
{
	struct statseg *s;
	int err;

	if (n_blocks == 0 || n_blocks > STATSEG_MAX_BLOCKS)
		return err_null(EINVAL);
	s = calloc(1, sizeof(*s));
	if (s == NULL)
		return err_null(ENOMEM);
	s->len = segment_len(n_blocks);
	s->n_blocks = n_blocks;
	s->fd = memfd_create("sluice-stats", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (s->fd < 0 || ftruncate(s->fd, (off_t)s->len) < 0)
		goto err_fd;
	s->base = mmap(NULL, s->len, PROT_READ | PROT_WRITE, MAP_SHARED, s->fd, 0);
	if (s->base == MAP_FAILED)
		goto err_fd;
	*(struct statseg_head *)s->base =
		(struct statseg_head){STATSEG_MAGIC, STATSEG_VERSION, n_blocks, sizeof(struct statseg_block),
				      N_COUNTERS,    names_hash(),    boot_id};
	if (fcntl(s->fd, F_ADD_SEALS, STATSEG_SEALS) == 0)
		return s;
	err = errno;
	munmap(s->base, s->len);
	errno = err;
err_fd:
	err = errno;
	if (s->fd >= 0)
		close(s->fd);
	free(s);
	return err_null(err);
}

static struct statseg_block *block_at(const struct statseg *s, unsigned i)
{
	return (struct statseg_block *)((char *)s->base + sizeof(struct statseg_head)) + i;
}

struct statseg_block *statseg_block(struct statseg *s, unsigned i)
{
	// cannot: the writer asks for the blocks that it has made
	MUST(i < s->n_blocks && s->fd >= 0);
	return block_at(s, i);
}

int statseg_fd(const struct statseg *s)
{
	return s->fd;
}

// The head is copied first: what is checked is what is used.
static int head_check(const struct statseg_head *h, size_t len)
{
	if (h->magic != STATSEG_MAGIC)
		return -EBADMSG;
	if (h->version != STATSEG_VERSION || h->n_counters != N_COUNTERS || h->names_hash != names_hash() ||
	    h->block_size != sizeof(struct statseg_block))
		return -EPROTO;
	if (h->n_blocks == 0 || h->n_blocks > STATSEG_MAX_BLOCKS || segment_len(h->n_blocks) != len)
		return -EBADMSG;
	return 0;
}

struct statseg *statseg_open(int fd)
{
	int seals = fcntl(fd, F_GET_SEALS), err;
	struct statseg *s;
	struct stat st;
	struct statseg_head h;

	if (fstat(fd, &st) < 0)
		return NULL;
	if (seals < 0 || (seals & STATSEG_SEALS) != STATSEG_SEALS || st.st_size < (off_t)sizeof(h) ||
	    st.st_size > (off_t)segment_len(STATSEG_MAX_BLOCKS) * 4)
		return err_null(EBADMSG);
	s = calloc(1, sizeof(*s));
	if (s == NULL)
		return err_null(ENOMEM);
	s->fd = -1;
	s->len = (size_t)st.st_size;
	s->base = mmap(NULL, s->len, PROT_READ, MAP_SHARED, fd, 0);
	if (s->base == MAP_FAILED) {
		err = errno;
		free(s);
		return err_null(err);
	}
	h = *(const struct statseg_head *)s->base;
	s->n_blocks = h.n_blocks;
	err = head_check(&h, s->len);
	if (err < 0) {
		statseg_close(s);
		return err_null(-err);
	}
	return s;
}

void statseg_close(struct statseg *s)
{
	if (s == NULL)
		return;
	munmap(s->base, s->len);
	if (s->fd >= 0)
		close(s->fd);
	free(s);
}

uint64_t statseg_read(const struct statseg *s, unsigned block, unsigned id)
{
	if (block >= s->n_blocks || id >= N_COUNTERS)
		return 0;
	return atomic_load_explicit(&block_at(s, block)->v[id], memory_order_relaxed);
}

uint64_t statseg_sum(const struct statseg *s, unsigned id)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < s->n_blocks; i++)
		sum += statseg_read(s, i, id);
	return sum;
}
