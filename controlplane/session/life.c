#include "controlplane/session/life.h"

// One row a legal transition; all others are refused.
static const struct {
	enum life from;
	enum life_event event;
	enum life to;
} transitions[] = {
	{LIFE_NEW, ON_JOINED, LIFE_JOINED},          {LIFE_NEW, ON_TAKEN_BACK, LIFE_READY},
	{LIFE_JOINED, ON_ANSWERED, LIFE_ANSWERED},   {LIFE_JOINED, ON_CLOSED, LIFE_CLOSED},
	{LIFE_ANSWERED, ON_SECURED, LIFE_SECURED},   {LIFE_ANSWERED, ON_CLOSED, LIFE_CLOSED},
	{LIFE_SECURED, ON_NO_CHANNEL, LIFE_READY},   {LIFE_SECURED, ON_CHANNEL, LIFE_CHANNEL},
	{LIFE_SECURED, ON_CLOSED, LIFE_CLOSED},      {LIFE_READY, ON_CHANNEL, LIFE_CHANNEL},
	{LIFE_READY, ON_CLOSED, LIFE_CLOSED},        {LIFE_CHANNEL, ON_CHANNEL, LIFE_CHANNEL},
	{LIFE_CHANNEL, ON_CHANNEL_LOST, LIFE_READY}, {LIFE_CHANNEL, ON_CLOSED, LIFE_CLOSED},
};

enum life life_next(enum life from, enum life_event event)
{
	for (unsigned i = 0; i < sizeof(transitions) / sizeof(transitions[0]); i++)
		if (transitions[i].from == from && transitions[i].event == event)
			return transitions[i].to;
	return LIFE_ILLEGAL;
}

const char *life_name(enum life l)
{
	static const char *const names[N_LIVES] = {"new",   "joined",  "answered", "secured",
						   "ready", "channel", "closed"};

	return l >= 0 && l < N_LIVES ? names[l] : "illegal";
}
