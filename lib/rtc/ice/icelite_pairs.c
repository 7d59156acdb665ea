// The table of address pairs, and which transactions came from which of them.
#include "lib/rtc/ice/icelite_priv.h"

int icelite_find(const struct icelite *a, const struct icelite_tuple *t)
{
	for (int i = 0; i < ICELITE_PAIRS; i++)
		if (a->pair[i].is_used && memcmp(&a->pair[i].tuple, t, sizeof(*t)) == 0)
			return i;
	return NO_PAIR;
}

void icelite_pair_remove(struct icelite *a, int i, struct icelite_out *out)
{
	assert(a->pair[i].is_used && out->n_gone < ICELITE_PAIRS);
	out->gone[out->n_gone++] = a->pair[i].tuple;
	out->events |= ICELITE_EV_PAIR_GONE;
	for (unsigned k = 0; k < ICELITE_TXIDS; k++)
		if (a->txid_pair[k] == i)
			a->txid_pair[k] = TXID_PAIR_GONE;
	if (a->selected == i) {
		a->selected = NO_PAIR;
		out->events |= ICELITE_EV_PATH;
	}
	a->pair[i] = (struct icelite_pair){};
}

// A slot for a new pair: free, or of the pair that was idle longest.
static int pair_slot(struct icelite *a, uint32_t t, struct icelite_out *out)
{
	uint32_t longest = EVICT_IDLE;
	int victim = NO_PAIR;

	for (int i = 0; i < ICELITE_PAIRS; i++) {
		uint32_t idle = t - a->pair[i].last_check;
		if (!a->pair[i].is_used)
			return i;
		if (i != a->selected && idle > longest) {
			longest = idle;
			victim = i;
		}
	}
	if (victim != NO_PAIR)
		icelite_pair_remove(a, victim, out);
	return victim;
}

int icelite_pair_add(struct icelite *a, const struct icelite_tuple *from, uint32_t t, struct icelite_out *out)
{
	int i;

	if (t - a->minute_at >= 60000) {
		a->minute_at = t;
		a->n_new_pairs = 0;
	}
	if (a->n_new_pairs >= NEW_PAIRS_PER_MINUTE)
		return NO_PAIR;
	i = pair_slot(a, t, out);
	if (i == NO_PAIR)
		return NO_PAIR;
	assert(i != a->selected && icelite_find(a, from) == NO_PAIR);
	a->n_new_pairs++;
	a->pair[i] = (struct icelite_pair){.tuple = *from,
					   .is_used = true,
					   .is_proven = from->proto == 6, // its handshake went there and back
					   .bucket = BUCKET_MAX,
					   .bucket_at = t,
					   .last_check = t};
	out->pair_new = (uint8_t)i;
	out->events |= ICELITE_EV_PAIR_NEW;
	return i;
}

// --- transactions -------------------------------------------------------------------------------

bool icelite_txid_replayed(const struct icelite *a, const uint8_t *txid, int pair)
{
	uint32_t fold = be32_get(txid) ^ be32_get(txid + 4) ^ be32_get(txid + 8);

	for (unsigned k = 0; k < ICELITE_TXIDS; k++)
		if (a->txid[k] == fold && (a->txid_pair[k] & 0x80) == 0)
			return a->txid_pair[k] != pair;
	return false;
}

void icelite_txid_note(struct icelite *a, const uint8_t *txid, int pair)
{
	uint32_t fold = be32_get(txid) ^ be32_get(txid + 4) ^ be32_get(txid + 8);

	assert(pair >= 0 && pair < ICELITE_PAIRS);
	for (unsigned k = 0; k < ICELITE_TXIDS; k++)
		if (a->txid[k] == fold && a->txid_pair[k] == pair)
			return;
	a->txid[a->txid_at] = fold;
	a->txid_pair[a->txid_at] = (uint8_t)pair;
	a->txid_at = (uint8_t)((a->txid_at + 1) % ICELITE_TXIDS);
}
