// store.h as the hub uses it: records in world->records, there at once.
#pragma once

#include <stddef.h>

struct fake_record {
	char *key, *value; // owned
	size_t key_len, value_len;
};

void record_clear(struct fake_record *); // the last record takes its place
void store_clear(void);                  // nobody is told
void store_lose_all(void);               // comes back without what it had
