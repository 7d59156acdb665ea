// Each source has a lane, a queue of its own; lanes with work form a ring that is served in turns, so a
// flood from one address delays only itself.
#include "controlplane/auth/bcrypt.h"

#include <assert.h>
#include <crypt.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/err.h"
#include "lib/base/hash.h"
#include "lib/base/list.h"
#include "lib/base/rand.h"

struct bcrypt_lane {
	uint8_t key[16];
	unsigned n;
	TAILQ_HEAD(, bcrypt_job) jobs;
	TAILQ_ENTRY(bcrypt_lane) ring;
};

struct bcrypt_queue {
	struct loop *loop; // borrowed
	ns_t wait;
	unsigned max_running, max_waiting, max_per_lane;
	unsigned n_running, n_waiting;
	struct map *lanes; // source -> lane with work, owned
	TAILQ_HEAD(, bcrypt_lane) ring;
	struct timer timer; // looks for jobs that waited too long
};

static void bcrypt_dispatch(struct bcrypt_queue *q);

static void job_run(struct work *w)
{
	struct bcrypt_job *job = container_of(w, struct bcrypt_job, work);
	struct crypt_data *data = calloc(1, sizeof(*data));
	const char *hash = data ? crypt_r(job->key, job->setting, data) : NULL;

	job->hash[0] = '\0';
	if (hash != NULL && hash[0] != '*' && strlen(hash) < sizeof(job->hash))
		strcpy(job->hash, hash);
	if (data != NULL)
		explicit_bzero(data, sizeof(*data));
	free(data);
	explicit_bzero(job->key, sizeof(job->key));
}

static void job_finish(struct bcrypt_job *job, int rc)
{
	explicit_bzero(job->key, sizeof(job->key));
	job->rc = rc;
	job->done(job);
}

static void on_work_done(struct work *w)
{
	struct bcrypt_job *job = container_of(w, struct bcrypt_job, work);
	struct bcrypt_queue *q = job->queue;

	assert(q->n_running > 0);
	q->n_running--;
	job_finish(job, 0);
	bcrypt_dispatch(q);
}

// Take job out of its lane; an empty lane goes.
static void job_unlink(struct bcrypt_queue *q, struct bcrypt_job *job)
{
	struct bcrypt_lane *lane = job->lane;

	TAILQ_REMOVE(&lane->jobs, job, link);
	job->lane = NULL;
	assert(lane->n > 0 && q->n_waiting > 0);
	q->n_waiting--;
	if (--lane->n > 0)
		return;
	TAILQ_REMOVE(&q->ring, lane, ring);
	map_del(q->lanes, (struct str){(const char *)lane->key, 16});
	free(lane);
}

static void bcrypt_dispatch(struct bcrypt_queue *q)
{
	while (q->n_running < q->max_running && !TAILQ_EMPTY(&q->ring)) {
		struct bcrypt_lane *lane = TAILQ_FIRST(&q->ring);
		struct bcrypt_job *job = TAILQ_FIRST(&lane->jobs);

		TAILQ_REMOVE(&q->ring, lane,
			     ring); // to the end of the ring: its next turn comes after the others
		TAILQ_INSERT_TAIL(&q->ring, lane, ring);
		job_unlink(q, job);
		q->n_running++;
		if (loop_work(q->loop, &job->work) < 0) {
			q->n_running--;
			job_finish(job, -ENOMEM);
		}
	}
}

static void on_expire(struct timer *t, ns_t now)
{
	struct bcrypt_queue *q = container_of(t, struct bcrypt_queue, timer);
	struct bcrypt_lane *lane, *next;

	TAILQ_EACH_SAFE (lane, &q->ring, ring, next) {
		struct bcrypt_job *job;
		unsigned n = lane->n;

		while (n-- > 0 && (job = TAILQ_FIRST(&lane->jobs))->due <= now) {
			job_unlink(q, job);
			job_finish(job, -ETIMEDOUT);
		}
	}
	if (q->n_waiting > 0)
		loop_arm_in(q->loop, t, NS_PER_S / 2);
}

static struct bcrypt_lane *lane_get(struct bcrypt_queue *q, const uint8_t key[16])
{
	struct bcrypt_lane *lane = map_find(q->lanes, (struct str){(const char *)key, 16});

	if (lane != NULL)
		return lane;
	lane = calloc(1, sizeof(*lane));
	if (lane == NULL)
		return NULL;
	memcpy(lane->key, key, 16);
	TAILQ_INIT(&lane->jobs);
	if (map_put(q->lanes, (struct str){(const char *)key, 16}, lane) < 0) {
		free(lane);
		return NULL;
	}
	TAILQ_INSERT_TAIL(&q->ring, lane, ring);
	return lane;
}

int bcrypt_submit(struct bcrypt_queue *q, const uint8_t source[16], struct bcrypt_job *job)
{
	struct bcrypt_lane *lane = map_find(q->lanes, (struct str){(const char *)source, 16});

	if (q->n_waiting >= q->max_waiting || (lane && lane->n >= q->max_per_lane))
		return -ENOBUFS;
	lane = lane_get(q, source);
	if (lane == NULL)
		return -ENOMEM;
	job->queue = q;
	job->lane = lane;
	job->work = (struct work){job_run, on_work_done, NULL};
	job->due = loop_now(q->loop) + q->wait;
	TAILQ_INSERT_TAIL(&lane->jobs, job, link);
	lane->n++;
	q->n_waiting++;
	if (!timer_armed(&q->timer))
		loop_arm_in(q->loop, &q->timer, NS_PER_S / 2);
	bcrypt_dispatch(q);
	return 0;
}

struct bcrypt_queue *bcrypt_new(struct loop *loop, ns_t wait, unsigned max_running, unsigned max_waiting,
				unsigned max_per_lane)
{
	struct bcrypt_queue *q = calloc(1, sizeof(*q));

	if (q == NULL)
		return NULL;
	*q = (struct bcrypt_queue){.loop = loop,
				   .wait = wait,
				   .max_running = max_running,
				   .max_waiting = max_waiting,
				   .max_per_lane = max_per_lane,
				   .timer.on_due = on_expire};
	TAILQ_INIT(&q->ring);
	q->lanes = map_new();
	if (q->lanes == NULL) {
		free(q);
		return err_null(ENOMEM);
	}
	return q;
}

void bcrypt_free(struct bcrypt_queue *q)
{
	struct bcrypt_lane *lane;

	if (q == NULL)
		return;
	while ((lane = TAILQ_FIRST(&q->ring)) != NULL) {
		struct bcrypt_job *job = TAILQ_FIRST(&lane->jobs);

		job_unlink(q, job);
		job_finish(job, -ECANCELED);
	}
	while (q->n_running > 0)
		loop_turn(q->loop, 20 * NS_PER_MS);
	loop_cancel(q->loop, &q->timer);
	map_free(q->lanes);
	free(q);
}

void bcrypt_salt(char setting[BCRYPT_SETTING_MAX], unsigned cost)
{
	char random[16];

	rand_bytes(random, sizeof(random));
	// cannot: the cost is a constant, the salt is ours and the buffer has the length asked for
	MUST(crypt_gensalt_rn("$2a$", cost, random, sizeof(random), setting, BCRYPT_SETTING_MAX) != NULL);
}

bool bcrypt_matches(const struct bcrypt_job *job)
{
	size_t len = strlen(job->setting);
	unsigned char differ = 0;

	if (len != BCRYPT_HASH_LEN || strlen(job->hash) != len)
		return false;
	for (size_t i = 0; i < len; i++)
		differ |= (unsigned char)(job->hash[i] ^ job->setting[i]);
	return differ == 0;
}
