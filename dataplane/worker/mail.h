// What a worker does with the mails of main (core/mailbox.h).
#pragma once

struct worker;

// Do what the mails say. Takes all that are there. Returns how many. thread: the worker; main once it has returned
unsigned mail_drain(struct worker *);
