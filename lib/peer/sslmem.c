#include "lib/peer/sslmem.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

// OpenSSL makes its buffer a third larger than the largest record; record buffers are smaller, certificates much more so.
#define HANDSHAKE_BUFFER_MIN (20 * 1024)

static _Thread_local struct sslmem *watched;

static void *note(void *block, size_t len)
{
	if (watched && block && len >= HANDSHAKE_BUFFER_MIN)
		*watched = (struct sslmem){block, len};
	return block;
}

static void forget(const void *block)
{
	if (watched && watched->block == block)
		*watched = (struct sslmem){};
}

// On pages of its own, so that all of it can be dropped: 4 KiB more a session.
static void *allocate(size_t len)
{
	size_t page;

	if (watched == NULL || len < HANDSHAKE_BUFFER_MIN)
		return malloc(len);
	page = (size_t)sysconf(_SC_PAGESIZE);
	len = (len + page - 1) / page * page;
	return note(aligned_alloc(page, len), len);
}

static void *on_malloc(size_t len, const char *, int)
{
	return allocate(len);
}

static void *on_realloc(void *block, size_t len, const char *, int)
{
	if (block == NULL)
		return allocate(len);
	forget(block);
	return note(realloc(block, len), len);
}

static void on_free(void *block, const char *, int)
{
	forget(block);
	free(block);
}

int sslmem_install(void)
{
	return CRYPTO_set_mem_functions(on_malloc, on_realloc, on_free) ? 0 : -EBUSY;
}

void sslmem_watch(struct sslmem *m)
{
	watched = m;
}

void sslmem_drop_pages(struct sslmem *m)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE),
		  first = ((uintptr_t)m->block + page - 1) & ~(page - 1);
	uintptr_t end = ((uintptr_t)m->block + m->len) & ~(page - 1);

	if (m->block && end > first)
		(void)madvise((void *)first, end - first, MADV_DONTNEED); // not done: they stay
}
